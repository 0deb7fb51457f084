# Install rules, the CMake package, pkg-config and CPack.
