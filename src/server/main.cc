#include "server/server_main.h"

int main(int argc, char** argv) { return stillframe::server::ServerMain(argc, argv); }
