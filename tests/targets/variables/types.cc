int types_placeholder;
int main() { return types_placeholder; }
