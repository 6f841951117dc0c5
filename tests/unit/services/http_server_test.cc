// The HTTP server against a plain blocking client on a loopback socket.
#include "services/kit/http_server.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

namespace swage {
namespace {

using boost::asio::ip::tcp;

class Client {
 public:
  explicit Client(const std::string& address) : socket_(context_) {
    const size_t colon = address.rfind(':');
    socket_.connect({boost::asio::ip::make_address(address.substr(0, colon)),
                     static_cast<uint16_t>(std::stoi(address.substr(colon + 1)))});
  }
  void Send(const std::string& text) { boost::asio::write(socket_, boost::asio::buffer(text)); }
  std::string ReadUntilClosed() {
    std::string out;
    boost::system::error_code error;
    boost::asio::read(socket_, boost::asio::dynamic_buffer(out), error);
    return out;
  }
  std::string ReadAtLeast(size_t bytes) {
    std::string out;
    boost::system::error_code error;
    boost::asio::read(socket_, boost::asio::dynamic_buffer(out), boost::asio::transfer_at_least(bytes), error);
    return out;
  }

 private:
  boost::asio::io_context context_;
  tcp::socket socket_;
};

std::string Get(const std::string& address, const std::string& target, const std::string& method = "GET") {
  Client client(address);
  client.Send(method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return client.ReadUntilClosed();
}

HttpResponse Stream(uint64_t promised, uint64_t given, size_t chunk) {
  HttpResponse response;
  response.content_length = promised;
  auto left = std::make_shared<uint64_t>(given);
  response.next_chunk = [left, chunk]() -> StatusOr<std::string> {
    const size_t n = std::min<uint64_t>(*left, chunk);
    *left -= n;
    return std::string(n, 'x');
  };
  return response;
}

TEST(HttpServer, DecodesPathAndQuery) {
  HttpRequest seen;
  auto server = HttpServer::Start("127.0.0.1:0", [&](const HttpRequest& request) {
    seen = request;
    return HttpResponse::Text(200, "body");
  });
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string answer = Get((*server)->address(), "/a%20b/c?x=1%2B1&y=a+b&z");
  EXPECT_NE(answer.find("HTTP/1.1 200"), std::string::npos);
  EXPECT_NE(answer.find("Content-Length: 4"), std::string::npos);
  EXPECT_EQ(answer.substr(answer.size() - 4), "body");
  EXPECT_EQ(seen.path, "/a b/c");
  EXPECT_EQ(seen.query["x"], "1+1");
  EXPECT_EQ(seen.query["y"], "a b");
  EXPECT_EQ(seen.query.count("z"), 1u);
  EXPECT_EQ(seen.headers["host"], "x");
}

TEST(HttpServer, HeadHasTheLengthButNoBody) {
  auto server = HttpServer::Start("127.0.0.1:0", [](const HttpRequest&) { return Stream(1000, 1000, 100); });
  ASSERT_TRUE(server.ok());
  const std::string answer = Get((*server)->address(), "/", "HEAD");
  EXPECT_NE(answer.find("Content-Length: 1000"), std::string::npos);
  EXPECT_EQ(answer.substr(answer.size() - 4), "\r\n\r\n");
}

TEST(HttpServer, KeepsTheConnectionForTheNextRequest) {
  auto server = HttpServer::Start("127.0.0.1:0", [](const HttpRequest& r) { return HttpResponse::Text(200, r.path); });
  ASSERT_TRUE(server.ok());
  Client client((*server)->address());
  client.Send("GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string answer = client.ReadUntilClosed();
  EXPECT_NE(answer.find("/first"), std::string::npos);
  EXPECT_NE(answer.find("/second"), std::string::npos);
}

TEST(HttpServer, SlowReadersDoNotKeepOthersWaiting) {
  auto server = HttpServer::Start("127.0.0.1:0", [](const HttpRequest& request) {
    if (request.path == "/big") return Stream(1ull << 30, 1ull << 30, 1 << 16);
    return HttpResponse::Text(200, "quick");
  }, /*threads=*/1);
  ASSERT_TRUE(server.ok());
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 32; ++i) {
    slow.push_back(std::make_unique<Client>((*server)->address()));
    slow.back()->Send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_GE(slow.back()->ReadAtLeast(1).size(), 1u);  // it has begun, and now nobody reads on
  }
  EXPECT_NE(Get((*server)->address(), "/").find("quick"), std::string::npos);
}

TEST(HttpServer, ABodyThatEndsEarlyEndsTheConnection) {
  auto server = HttpServer::Start("127.0.0.1:0", [](const HttpRequest&) { return Stream(1000, 300, 100); });
  ASSERT_TRUE(server.ok());
  const std::string answer = Get((*server)->address(), "/");
  EXPECT_NE(answer.find("Content-Length: 1000"), std::string::npos);
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, 300u);
}

TEST(HttpServer, RefusesWhatIsTooLargeOrMalformed) {
  auto server = HttpServer::Start("127.0.0.1:0", [](const HttpRequest&) { return HttpResponse::Text(200, "fine"); });
  ASSERT_TRUE(server.ok());
  EXPECT_NE(Get((*server)->address(), "/%zz").find("HTTP/1.1 400"), std::string::npos);
  EXPECT_NE(Get((*server)->address(), "/%00").find("HTTP/1.1 400"), std::string::npos);
  for (const size_t bytes : {20000u, 100000u, 3000000u})  // the last does not fit the socket's buffers
    EXPECT_NE(Get((*server)->address(), "/" + std::string(bytes, 'a')).find("HTTP/1.1 413"), std::string::npos);
  EXPECT_NE(Get((*server)->address(), "/").find("fine"), std::string::npos);  // it is still up
}

TEST(HttpServer, SaysWhichAddressIsWrong) {
  for (const std::string address : {"", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "a.b:1"}) {
    const auto server = HttpServer::Start(address, [](const HttpRequest&) { return HttpResponse(); });
    EXPECT_EQ(ReasonOf(server.status()), "HTTP_ADDRESS") << address;
  }
}

}  // namespace
}  // namespace swage
