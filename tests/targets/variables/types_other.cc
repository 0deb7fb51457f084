int types_other;
