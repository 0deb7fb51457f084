// Runs a fuzz target over files without a fuzzer: each file as it is, and N seeded mutations of it.
//
//   NAME [--mutations N] [--seconds S] [--megabytes M] FILE-OR-FOLDER…
// `-` reads standard input. Every single input may take S seconds of processor time (10) and the
// process M megabytes of memory (512; not under sanitizers): more ends the run as a failure, and so
// does a crash. What failed is left in ./fuzz-failure-NAME.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "tests/fuzz/byte_mutator.h"
#include "tests/fuzz/fuzz.h"

namespace {

using stillframe::fuzz::Random;
using stillframe::fuzz::SeedRandom;
using Bytes = std::vector<uint8_t>;

struct Settings {
  unsigned mutations = 0;
  unsigned seconds = 10;
  unsigned megabytes = 512;
  std::vector<std::string> files;
};

// Of the run in progress; read by the signal handler.
const Bytes* g_input = nullptr;
char g_failure_file[128];
char g_what[512];

// Only what signal handlers may call.
void OnFailure(int signal) {
  const int fd = open(g_failure_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (g_input != nullptr && write(fd, g_input->data(), g_input->size()) < 0) _exit(1);
  close(fd);
  const char* const kind = signal == SIGPROF ? ": took too long\n" : ": crashed\n";
  for (const char* text : {static_cast<const char*>(g_what), kind, "input left in ",
                           static_cast<const char*>(g_failure_file), "\n"}) {
    if (write(2, text, std::strlen(text)) < 0) break;
  }
  _exit(1);
}

void HandleFailures() {
  // AddressSanitizer has handlers of its own, which tell more.
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGPROF}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_DFL && signal != SIGPROF) continue;
    action.sa_handler = &OnFailure;
    action.sa_flags = 0;
    sigaction(signal, &action, nullptr);
  }
}

void LimitMemory([[maybe_unused]] unsigned megabytes) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(STILLFRAME_SANITIZED)
  const rlim_t bytes = static_cast<rlim_t>(megabytes) << 20;
  const rlimit limit{bytes, bytes};
  setrlimit(RLIMIT_DATA, &limit);
#endif
}

void Run(const Bytes& input, const std::string& what, unsigned seconds) {
  std::snprintf(g_what, sizeof g_what, "%s", what.c_str());
  g_input = &input;
  const itimerval limit{{0, 0}, {static_cast<time_t>(seconds), 0}};
  setitimer(ITIMER_PROF, &limit, nullptr);
  // A copy of exactly that size, so that sanitizers see reads past its end.
  const std::vector<uint8_t> copy(input);
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
  const itimerval none{};
  setitimer(ITIMER_PROF, &none, nullptr);
  g_input = nullptr;
}

void RunFile(const std::string& name, Bytes bytes, const Settings& settings) {
  Run(bytes, name, settings.seconds);
  const Bytes original = bytes;
  for (unsigned i = 1; i <= settings.mutations; ++i) {
    SeedRandom(0x9e3779b97f4a7c15ULL * i + original.size() + 1);
    Bytes mutated = original;
    const size_t max_size = original.size() + 64;
    mutated.resize(max_size);
    size_t size = original.size();
    for (uint64_t steps = 1 + Random(8); steps > 0; --steps) {
      size = LLVMFuzzerCustomMutator != nullptr
                 ? LLVMFuzzerCustomMutator(mutated.data(), size, max_size,
                                           static_cast<unsigned>(Random(1u << 31)))
                 : LLVMFuzzerMutate(mutated.data(), size, max_size);
    }
    mutated.resize(size);
    Run(mutated, name + ", mutation " + std::to_string(i), settings.seconds);
  }
}

Bytes ReadAll(std::istream& in) { return {std::istreambuf_iterator<char>(in), {}}; }

Settings Parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const auto number = [&] { return static_cast<unsigned>(std::atoi(argv[++i])); };
    if (name == "--mutations" && i + 1 < argc) {
      settings.mutations = number();
    } else if (name == "--seconds" && i + 1 < argc) {
      settings.seconds = number();
    } else if (name == "--megabytes" && i + 1 < argc) {
      settings.megabytes = number();
    } else if (std::filesystem::is_directory(name)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(name)) {
        if (entry.is_regular_file()) settings.files.push_back(entry.path());
      }
    } else {
      settings.files.emplace_back(name);
    }
  }
  std::sort(settings.files.begin(), settings.files.end());
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = Parse(argc, argv);
  if (settings.files.empty()) {
    std::cerr << "no input\n";  // a replay of nothing proves nothing
    return 2;
  }
  const std::string program = std::filesystem::path(argv[0]).filename();
  std::snprintf(g_failure_file, sizeof g_failure_file, "fuzz-failure-%s", program.c_str());
  HandleFailures();
  LimitMemory(settings.megabytes);
  for (const std::string& name : settings.files) {
    if (name == "-") {
      RunFile(name, ReadAll(std::cin), settings);
      continue;
    }
    std::ifstream in(name, std::ios::binary);
    if (!in) {
      std::cerr << name << ": cannot be read\n";
      return 2;
    }
    RunFile(name, ReadAll(in), settings);
  }
  std::cout << settings.files.size() << " files, " << settings.mutations << " mutations of each\n";
  return 0;
}
