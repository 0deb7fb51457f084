// A host that closes every descriptor it does not know and uses the numbers itself; the first
// argument is the mode, the second a folder to write in.
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

__attribute__((noinline)) long Step(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));  // mark-step
  return value + 1;
}

long Steps(long count) {
  long value = 0;
  for (long i = 0; i < count; ++i) value = Step(value);
  return value;
}

bool Ask() {
  char byte;
  return read(STDIN_FILENO, &byte, 1) == 1;
}

int OpenDescriptors() {
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count - 1;
}

// Fills the numbers from 3 on with files and sockets of its own, many times over, while the agent
// arms, writes snapshots and gives its files back; nothing but its own bytes may be in them.
int Close(const std::string& folder) {
  std::printf("open %d\n", OpenDescriptors());
  std::fflush(stdout);
  if (!Ask()) return 3;
  long strange = 0, lost = 0;
  for (int round = 0; round < 300; ++round) {
    syscall(SYS_close_range, 3u, ~0u, 0u);
    std::vector<int> files, pairs;
    for (int i = 0; i < 40; ++i) {
      const std::string path = folder + "/f" + std::to_string(i);
      files.push_back(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    }
    for (int i = 0; i < 20; ++i) {
      int pair[2];
      if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
      pairs.push_back(pair[0]);
      pairs.push_back(pair[1]);
    }
    Steps(1000);
    usleep(10000);
    for (int fd : files) {
      struct stat info {};
      if (fstat(fd, &info) != 0) {
        ++lost;
      } else {
        strange += info.st_size;
      }
    }
    for (int fd : pairs) {
      char byte;
      const ssize_t count = recv(fd, &byte, 1, MSG_DONTWAIT);
      if (count > 0) ++strange;
      if (count == 0 || (count < 0 && errno != EAGAIN)) ++lost;
    }
  }
  std::printf("strange %ld lost %ld\n", strange, lost);
  return 0;
}

// The first descriptor that a program opens has the number it would have had without us.
int Numbers() {
  Steps(100);
  const int first = open("/dev/null", O_RDONLY);
  std::printf("first %d open %d\n", first, OpenDescriptors());
  return 0;
}

int Few() {
  const rlimit limit{4, 4};  // 0 to 2, and one to look at the rest with
  setrlimit(RLIMIT_NOFILE, &limit);
  if (!Ask()) return 3;
  std::printf("steps %ld\n", Steps(1000));
  return Ask() ? 0 : 3;
}

// The reader of our standard output waits for its end, which must come when we close it.
int CloseStandard() {
  std::printf("steps %ld\n", Steps(10));
  std::fflush(stdout);
  close(0);
  close(1);
  close(2);
  const int fd = open("/dev/null", O_RDWR);
  usleep(1000000);
  Steps(10);
  return fd == 0 ? 0 : 1;
}

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "close" && argc > 2) return Close(argv[2]);
  if (mode == "numbers") return Numbers();
  if (mode == "few") return Few();
  if (mode == "close-standard") return CloseStandard();
  return 2;
}
