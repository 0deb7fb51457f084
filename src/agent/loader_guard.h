// Keeps fork() and our calls into the dynamic loader apart, and fork() and our writes to text.
//
// The loader's lock is not reset in a forked child: a child made while the agent thread was inside
// dlopen or dl_iterate_phdr could never load a library again. So those calls hold this mutex, and
// the fork handler takes it. Hold it briefly; never from a hit.
#ifndef STILLFRAME_AGENT_LOADER_GUARD_H_
#define STILLFRAME_AGENT_LOADER_GUARD_H_

namespace stillframe::agent {

class LoaderGuard {
 public:
  LoaderGuard() { Lock(); }
  ~LoaderGuard() { Unlock(); }
  LoaderGuard(const LoaderGuard&) = delete;
  LoaderGuard& operator=(const LoaderGuard&) = delete;

  // For pthread_atfork: before, and after in both processes.
  static void Lock();
  static void Unlock();
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_LOADER_GUARD_H_
