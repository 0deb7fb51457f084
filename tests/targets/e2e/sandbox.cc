// Runs a program under restrictions: sandbox RESTRICTION… -- PROGRAM ARGUMENT…
//   NAME=ERRNO   the system call NAME fails with ERRNO
//   wx=ERRNO     mprotect to writable and executable memory fails
//   x=ERRNO      mprotect and mmap to executable anonymous memory fail
//   mdwe         PR_SET_MDWE
//   as=BYTES, nofile=N   resource limits
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

static const std::map<std::string, int> kCalls = {
    {"membarrier", SYS_membarrier}, {"process_vm_readv", SYS_process_vm_readv},
    {"pwrite64", SYS_pwrite64},     {"close_range", SYS_close_range},
    {"pidfd_getfd", SYS_pidfd_getfd}, {"tgkill", SYS_tgkill},
    {"sched_setattr", SYS_sched_setattr}, {"clone", SYS_clone},
    {"clone3", SYS_clone3}, {"mprotect", SYS_mprotect}, {"sigaltstack", SYS_sigaltstack},
    {"memfd_create", SYS_memfd_create}, {"pread64", SYS_pread64}};
static const std::map<std::string, int> kErrors = {
    {"EPERM", EPERM}, {"ENOSYS", ENOSYS}, {"EACCES", EACCES}, {"EAGAIN", EAGAIN}};

static std::vector<sock_filter> g_filter;

void Add(uint16_t code, uint8_t yes, uint8_t no, uint32_t value) {
  g_filter.push_back(sock_filter{code, yes, no, value});
}
void Load(size_t offset) { Add(BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<uint32_t>(offset)); }
void Fail(int error) {
  Add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error));
}

void Forbid(int call, int error) {
  Load(offsetof(seccomp_data, nr));
  Add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<uint32_t>(call));
  Fail(error);
}

// mprotect(…, …, prot) where every bit of `bits` is set.
void ForbidProtection(int bits, int error) {
  Load(offsetof(seccomp_data, nr));
  Add(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, SYS_mprotect);
  Load(offsetof(seccomp_data, args) + 2 * 8);
  Add(BPF_ALU | BPF_AND | BPF_K, 0, 0, static_cast<uint32_t>(bits));
  Add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<uint32_t>(bits));
  Fail(error);
}

void Restrict(const std::string& what) {
  const size_t equals = what.find('=');
  const std::string name = what.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : what.substr(equals + 1);
  if (name == "mdwe") {
    if (prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0) != 0) std::exit(77);
  } else if (name == "as" || name == "nofile") {
    const rlim_t limit = std::strtoull(value.c_str(), nullptr, 10);
    const rlimit both{limit, limit};
    setrlimit(name == "as" ? RLIMIT_AS : RLIMIT_NOFILE, &both);
  } else if (name == "wx") {
    ForbidProtection(PROT_WRITE | PROT_EXEC, kErrors.at(value));
  } else {
    Forbid(kCalls.at(name), kErrors.at(value));
  }
}

int main(int argc, char** argv) {
  int at = 1;
  for (; at < argc && std::strcmp(argv[at], "--") != 0; ++at) Restrict(argv[at]);
  if (at + 1 >= argc) return 2;
  if (!g_filter.empty()) {
    Add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    const sock_fprog program{static_cast<unsigned short>(g_filter.size()), g_filter.data()};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
      return 77;
    }
  }
  // The agent's variables are for the program, not for us: they come as arguments NAME:VALUE.
  for (++at; at < argc && std::strchr(argv[at], ':') != nullptr && argv[at][0] != '/'; ++at) {
    char* colon = std::strchr(argv[at], ':');
    *colon = '\0';
    setenv(argv[at], colon + 1, 1);
  }
  execv(argv[at], argv + at);
  return 127;
}
