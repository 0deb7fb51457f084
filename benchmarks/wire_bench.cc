// Bytes and cost of a published batch: plain JSON, protobuf as it was, protobuf with tables; each
// as it is, with gzip and with zstd. The snapshots are those that a killed process left in its ring
// (benchmarks/wire_bench.py makes one). Usage: stillframe_wire_bench RING...
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdio>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "agent/durable/dead_process.h"
#include "transport/snapshot_pack.h"
#include "transport/transport.h"

namespace {

using namespace stillframe;

constexpr int kRounds = 200;

double CpuNanos() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Instructions in user mode, which other programs on the machine do not change. -1: not to be had.
class Instructions {
 public:
  Instructions() {
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_HARDWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
    attributes.exclude_kernel = 1;
    fd_ = static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
  }
  double Now() const {
    uint64_t count = 0;
    if (fd_ < 0 || read(fd_, &count, sizeof count) != sizeof count) return -1;
    return static_cast<double>(count);
  }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::string Gzip(const std::string& body) {
  z_stream stream{};
  deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, body.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& body) {
  std::string out(ZSTD_compressBound(body.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), body.data(), body.size(), 1));
  return out;
}

void Measure(const char* name, size_t snapshots, const std::function<std::string()>& make) {
  static const Instructions instructions;
  size_t bytes = make().size();
  const double instructions_before = instructions.Now();
  const double before = CpuNanos();
  for (int i = 0; i < kRounds; ++i) bytes = make().size();
  const double nanos = (CpuNanos() - before) / kRounds / static_cast<double>(snapshots);
  const double executed =
      (instructions.Now() - instructions_before) / kRounds / static_cast<double>(snapshots);
  char counted[32] = "not counted";
  if (instructions.ok()) std::snprintf(counted, sizeof counted, "%.0f", executed);
  std::printf("| %s | %.0f | %.0f | %s |\n", name,
              static_cast<double>(bytes) / static_cast<double>(snapshots), nanos, counted);
}

void MeasureBatch(const std::vector<model::Snapshot>& snapshots) {
  const auto json = [&] {
    std::string out;
    for (const model::Snapshot& snapshot : snapshots) out += model::SnapshotToJson(snapshot) + "\n";
    return out;
  };
  model::PublishRequest request{"", "", 1, snapshots};
  request.instance = snapshots[0].instance;
  request.service = snapshots[0].service;
  model::AgentIdentity sender;
  sender.instance = request.instance;
  sender.service = request.service;
  const auto plain = [&] { return transport::EncodePublishRequest(request); };
  const auto tables = [&] {
    transport::SnapshotPack pack;
    std::vector<transport::SnapshotPack::Place> places;
    for (const model::Snapshot& snapshot : snapshots) places.push_back(pack.Add(snapshot));
    return pack.Encode(sender, places);
  };
  std::printf("\n%zu snapshots in a batch:\n\n", snapshots.size());
  std::printf("| | bytes a snapshot | ns a snapshot | instructions a snapshot |\n");
  std::printf("| --- | --- | --- | --- |\n");
  const size_t count = snapshots.size();
  Measure("JSON", count, json);
  Measure("JSON, gzip", count, [&] { return Gzip(json()); });
  Measure("JSON, zstd", count, [&] { return Zstd(json()); });
  Measure("protobuf", count, plain);
  Measure("protobuf, gzip (before)", count, [&] { return Gzip(plain()); });
  Measure("protobuf, zstd", count, [&] { return Zstd(plain()); });
  Measure("tables", count, tables);
  Measure("tables, gzip", count, [&] { return Gzip(tables()); });
  Measure("tables, zstd (now)", count, [&] { return Zstd(tables()); });
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<model::Snapshot> snapshots;
  for (int i = 1; i < argc; ++i) {
    std::string path = argv[i];
    if (path.ends_with(".ring")) path.resize(path.size() - 5);
    auto dead = durable::DeadProcess::Open(path, {});
    if (!dead.ok()) {
      std::fprintf(stderr, "%s: %s\n", argv[i], dead.status().ToString().c_str());
      return 1;
    }
    while (auto snapshot = (*dead)->Next()) snapshots.push_back(std::move(*snapshot));
  }
  if (snapshots.empty()) {
    std::fprintf(stderr, "there is no snapshot\n");
    return 1;
  }
  for (const size_t count : {size_t{1}, size_t{4}, size_t{16}, snapshots.size()}) {
    if (count > snapshots.size()) continue;
    MeasureBatch({snapshots.begin(), snapshots.begin() + static_cast<std::ptrdiff_t>(count)});
  }
  return 0;
}
