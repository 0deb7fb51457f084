// Gives back what is resident of the agent's own code and constants.
#ifndef STILLFRAME_AGENT_OWN_PAGES_H_
#define STILLFRAME_AGENT_OWN_PAGES_H_

namespace stillframe::agent {

// Arming runs through far more code than hits and sending do, and the kernel maps 16 pages where
// one is touched. The pages stay in the page cache, and what is needed again is mapped again at the
// next touch. Only pages that are as in the file: what a debugger wrote stays. Does nothing where
// the agent is part of the program's file, or /proc cannot be read. Agent thread.
void GiveBackOwnPages();

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_OWN_PAGES_H_
