// The program behind `stillframe-server`.
#ifndef STILLFRAME_SERVER_SERVER_MAIN_H_
#define STILLFRAME_SERVER_SERVER_MAIN_H_

namespace stillframe::server {

// Parses flags, then serves until SIGTERM or SIGINT, or runs `keys …`. Returns the exit code: 0
// done, 1 failed (the reason on standard error), 2 wrong usage.
int ServerMain(int argc, char** argv);

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_SERVER_MAIN_H_
