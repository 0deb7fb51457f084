// A program that uses, on its own account, every library that the agent has a private copy of.
// What it prints must not depend on whether the agent is linked in, or runs.
#include <capstone/capstone.h>
#include <curl/curl.h>
#include <google/protobuf/wrappers.pb.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <zlib.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "stillframe/stillframe.h"

namespace {
long g_allocations = 0;
}

// The program's own allocator. The agent must not be among its users.
void* operator new(std::size_t size) {
  ++g_allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

// The agent's Capstone knows x86 only: this one would fail if it were that.
void Disassemble() {
  csh handle = 0;
  cs_insn* insn = nullptr;
  const uint8_t code[] = {0x1e, 0xff, 0x2f, 0xe1};  // bx lr
  const cs_err opened = cs_open(CS_ARCH_ARM, CS_MODE_ARM, &handle);
  const size_t count = opened == CS_ERR_OK ? cs_disasm(handle, code, sizeof code, 0, 1, &insn) : 0;
  std::printf("capstone %d %s\n", opened, count == 1 ? insn->mnemonic : "?");
  if (count > 0) cs_free(insn, count);
  if (opened == CS_ERR_OK) cs_close(&handle);
}

// The agent's libcurl has no HTTP/2, no SSH and no file protocol.
void Fetch(const char* path) {
  const curl_version_info_data* info = curl_version_info(CURLVERSION_NOW);
  CURL* easy = curl_easy_init();
  std::string url = std::string("file://") + path;
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  const CURLcode code = curl_easy_perform(easy);
  curl_easy_cleanup(easy);
  std::printf("curl %s http2 %d ssh %d file %d\n", info->version,
              (info->features & CURL_VERSION_HTTP2) != 0, info->libssh_version != nullptr, code);
}

void Digest() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest("abc", 3, digest, &size, EVP_sha256(), nullptr);
  std::printf("openssl %u %02x%02x\n", size, digest[0], digest[1]);
  // Runs at exit only if OpenSSL's own exit handler is there, which the agent's copy leaves out.
  OPENSSL_atexit([] { std::puts("openssl cleans up"); });
}

void Encode() {
  google::protobuf::StringValue value;
  value.set_value("host");
  google::protobuf::StringValue copy;
  const bool same = copy.ParseFromString(value.SerializeAsString()) && copy.value() == "host";
  std::printf("protobuf %d\n", same);
}

void Compress() {
  Bytef out[256];
  uLongf size = sizeof out;
  const int result = compress(out, &size, reinterpret_cast<const Bytef*>("aaaaaaaaaaaaaaaa"), 16);
  std::printf("zlib %d %s\n", result, zlibVersion());
}

__attribute__((noinline)) int Work(int value) {
  const std::vector<int> items = {value, value + 1, value + 2};
  int sum = 0;
  for (const int item : items) sum += item;
  asm volatile("" : "+r"(sum) : "r"(items.data()) : "memory");
  return sum + 3;  // mark-work
}

__attribute__((noinline)) int Throws(int value) {
  try {
    if (value > 0) throw std::out_of_range("positive");
  } catch (const std::logic_error& error) {
    return static_cast<int>(std::strlen(error.what()));
  }
  return 0;
}

}  // namespace

int main(int, char** argv) {
  int sum = 0;
  for (int i = 0; i < 1000; ++i) sum += Work(i) + Throws(i);
  Disassemble();
  Fetch(argv[0]);
  Encode();
  Compress();
  Digest();
  std::printf("sum %d allocations %ld\n", sum, g_allocations);
  stillframe::Flush(20'000);  // nothing without the agent
  return 7;
}
