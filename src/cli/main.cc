#include "cli/commands.h"

int main(int argc, char** argv) { return stillframe::cli::RunCli(argc, argv); }
