// An answer that is sent before the request's body was read must reach a client that sends all of
// its body before it reads anything.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/unique_fd.h"
#include "tests/server/server_process.h"

namespace stillframe::server::testing {
namespace {

constexpr int kBodyBytes = 8 << 20;  // more than the buffers of both sockets hold

std::string Head() {
  return "POST /v1/agent/poll HTTP/1.1\r\nHost: here\r\nContent-Type: application/x-protobuf\r\n"
         "Authorization: Bearer sfk_none\r\nContent-Length: " +
         std::to_string(kBodyBytes) + "\r\n\r\n";
}

UniqueFd Connect(const ServerProcess& server) {
  signal(SIGPIPE, SIG_IGN);
  UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(server.port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{20, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

TEST(EarlyAnswer, ReachesAClientThatStillSends) {
  const ServerProcess server;
  const UniqueFd fd = Connect(server);
  const std::string head = Head();
  ASSERT_EQ(send(fd.get(), head.data(), head.size(), 0), static_cast<ssize_t>(head.size()));
  std::string answer(12, '\0');
  ASSERT_GT(recv(fd.get(), answer.data(), 1, MSG_PEEK), 0);  // it is there
  const std::string body(kBodyBytes, 'a');
  EXPECT_EQ(send(fd.get(), body.data(), body.size(), 0), kBodyBytes) << strerror(errno);
  EXPECT_EQ(recv(fd.get(), answer.data(), answer.size(), MSG_WAITALL), 12) << strerror(errno);
  EXPECT_EQ(answer, "HTTP/1.1 401");
}

class EarlyTlsAnswer : public ::testing::TestWithParam<int> {};

// A record of the body that came where the peer's close_notify was awaited made the server close at
// once, and the reset took the answer along.
TEST_P(EarlyTlsAnswer, ReachesAClientThatStillSends) {
  const Folder folder;
  const std::string cert = (folder.path / "cert.pem").string();
  const std::string key = (folder.path / "key.pem").string();
  ASSERT_TRUE(MakeCertificate(cert, key));
  const ServerProcess server({"--tls-cert", cert, "--tls-key", key});
  const UniqueFd fd = Connect(server);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  SSL_CTX_free);
  SSL_CTX_set_max_proto_version(context.get(), GetParam());
  ASSERT_EQ(SSL_CTX_load_verify_locations(context.get(), cert.c_str(), nullptr), 1);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), SSL_free);
  SSL_set_fd(tls.get(), fd.get());
  ASSERT_EQ(SSL_connect(tls.get()), 1) << ERR_error_string(ERR_get_error(), nullptr);
  const std::string head = Head();
  ASSERT_EQ(SSL_write(tls.get(), head.data(), static_cast<int>(head.size())), int(head.size()));
  std::string answer(12, '\0');
  ASSERT_EQ(SSL_peek(tls.get(), answer.data(), 1), 1);  // it is there
  const std::string body(kBodyBytes, 'a');
  EXPECT_EQ(SSL_write(tls.get(), body.data(), kBodyBytes), kBodyBytes) << strerror(errno);
  EXPECT_EQ(SSL_read(tls.get(), answer.data(), 12), 12) << strerror(errno);
  EXPECT_EQ(answer, "HTTP/1.1 401");
}

INSTANTIATE_TEST_SUITE_P(Versions, EarlyTlsAnswer,
                         ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) {
                           return version.param == TLS1_3_VERSION ? "Tls13" : "Tls12";
                         });

}  // namespace
}  // namespace stillframe::server::testing
