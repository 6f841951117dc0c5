#include "services/kit/http_server.h"

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <chrono>
#include <optional>
#include <thread>

#include "base/log.h"

namespace swage {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

constexpr auto kIdle = std::chrono::seconds(30);
constexpr uint32_t kHeaderBytes = 16 << 10;
constexpr uint64_t kBodyBytes = 1 << 20;
constexpr size_t kDrainBytes = 4 << 20;
constexpr auto kDrain = std::chrono::seconds(5);

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexValue(text[i + 1]), low = HexValue(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

bool DecodeTarget(std::string_view target, HttpRequest* request) {
  const size_t mark = target.find('?');
  auto path = PercentDecode(target.substr(0, mark), false);
  if (!path || path->empty() || path->front() != '/' || path->find('\0') != std::string::npos) return false;
  request->path = *path;
  if (mark == std::string_view::npos) return true;
  for (const std::string& pair : Split(target.substr(mark + 1), '&')) {
    const size_t equals = pair.find('=');
    auto key = PercentDecode(std::string_view(pair).substr(0, equals), true);
    auto value = equals == std::string::npos
                     ? std::optional<std::string>("")
                     : PercentDecode(std::string_view(pair).substr(equals + 1), true);
    if (!key || !value) return false;
    request->query[*key] = *value;
  }
  return true;
}

// One connection. All of its work runs on its strand; it lives as long as an operation is pending.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const HttpHandler* handler) : stream_(std::move(socket)), handler_(handler) {}
  void Start() {
    asio::dispatch(stream_.get_executor(), beast::bind_front_handler(&Session::Read, shared_from_this()));
  }

 private:
  void Read() {
    parser_.emplace();
    parser_->header_limit(kHeaderBytes);
    parser_->body_limit(kBodyBytes);
    stream_.expires_after(kIdle);
    http::async_read(stream_, buffer_, *parser_,
                     beast::bind_front_handler(&Session::OnRead, shared_from_this()));
  }

  void OnRead(beast::error_code error, size_t) {
    if (error == http::error::header_limit || error == http::error::body_limit) {
      keep_alive_ = false;
      unread_ = true;
      return Send(HttpResponse::Text(413, "the request is larger than this server reads\n"), false);
    }
    if (error) return Close();
    const auto& message = parser_->get();
    HttpRequest request;
    request.method = std::string(message.method_string());
    for (const auto& field : message) {
      std::string name(field.name_string());
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers[name] = std::string(field.value());
    }
    request.body = message.body();
    keep_alive_ = message.keep_alive();
    const bool head = message.method() == http::verb::head;
    const std::string_view target(message.target().data(), message.target().size());
    if (!DecodeTarget(target, &request)) {
      return Send(HttpResponse::Text(400, "the request target is not valid\n"), head);
    }
    Send((*handler_)(request), head);
  }

  void Send(HttpResponse response, bool head) {
    response_ = std::move(response);
    const uint64_t length = response_.next_chunk ? response_.content_length : response_.body.size();
    header_.emplace();
    header_->result(static_cast<unsigned>(response_.status));
    header_->version(11);
    header_->set(http::field::server, "swage");
    for (const auto& [name, value] : response_.headers) header_->insert(name, value);
    header_->keep_alive(keep_alive_);
    if (response_.status != 304 && response_.status != 204) header_->content_length(length);
    send_body_ = !head && length > 0 && response_.status != 304;
    serializer_.emplace(*header_);
    stream_.expires_after(kIdle);
    http::async_write_header(stream_, *serializer_,
                             beast::bind_front_handler(&Session::OnHeader, shared_from_this()));
  }

  void OnHeader(beast::error_code error, size_t) {
    if (error) return Close();
    if (!send_body_) return Done();
    if (!response_.next_chunk) {
      chunk_ = std::move(response_.body);
      last_ = true;
      return WriteChunk();
    }
    last_ = false;
    remaining_ = response_.content_length;
    NextChunk();
  }

  void NextChunk() {
    auto bytes = response_.next_chunk();
    if (!bytes.ok() || bytes->size() > remaining_ || bytes->empty()) {
      LogWarning("http: a body ended ", remaining_, " bytes early: ",
                 bytes.ok() ? std::string("wrong length") : MessageOf(bytes.status()));
      return Close();
    }
    remaining_ -= bytes->size();
    last_ = remaining_ == 0;
    chunk_ = std::move(*bytes);
    WriteChunk();
  }

  void WriteChunk() {
    stream_.expires_after(kIdle);
    asio::async_write(stream_, asio::buffer(chunk_),
                      beast::bind_front_handler(&Session::OnChunk, shared_from_this()));
  }

  void OnChunk(beast::error_code error, size_t) {
    if (error) return Close();
    if (last_) return Done();
    NextChunk();
  }

  void Done() {
    response_ = {};
    if (unread_) return FinishWriting();
    if (!keep_alive_) return Close();
    Read();
  }

  // A socket closed with input unread is reset, and the client loses the answer that says why.
  void FinishWriting() {
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.expires_after(kDrain);
    chunk_.resize(64 << 10);
    Drain();
  }

  void Drain() {
    stream_.async_read_some(asio::buffer(chunk_), beast::bind_front_handler(&Session::OnDrained, shared_from_this()));
  }

  void OnDrained(beast::error_code error, size_t bytes) {
    drained_ += bytes;
    if (error || drained_ >= kDrainBytes) return Close();
    Drain();
  }

  void Close() {
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.close();
  }

  beast::tcp_stream stream_;
  const HttpHandler* handler_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::empty_body>> header_;
  std::optional<http::response_serializer<http::empty_body>> serializer_;
  HttpResponse response_;
  std::string chunk_;
  uint64_t remaining_ = 0;
  size_t drained_ = 0;
  bool keep_alive_ = true, send_body_ = false, last_ = false;
  bool unread_ = false;  // the client may still be writing what is not read
};

class BeastServer : public HttpServer {
 public:
  BeastServer(HttpHandler handler, int threads) : context_(threads), acceptor_(context_), handler_(std::move(handler)) {}

  Status Listen(const tcp::endpoint& endpoint, int threads) {
    beast::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return Unavailable("HTTP_ADDRESS", Cat("cannot listen: ", error.message()),
                         "choose another address, such as 127.0.0.1:0");
    }
    const auto local = acceptor_.local_endpoint();
    address_ = local.address().is_v6() ? Cat("[", local.address().to_string(), "]:", local.port())
                                       : Cat(local.address().to_string(), ":", local.port());
    Accept();
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { context_.run(); });
    return absl::OkStatus();
  }

  ~BeastServer() override {
    context_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

  std::string address() const override { return address_; }

 private:
  void Accept() {
    acceptor_.async_accept(asio::make_strand(context_), [this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error) std::make_shared<Session>(std::move(socket), &handler_)->Start();
      Accept();
    });
  }

  asio::io_context context_;
  tcp::acceptor acceptor_;
  HttpHandler handler_;
  std::string address_;
  std::vector<std::thread> threads_;
};

StatusOr<tcp::endpoint> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon == std::string::npos ? 0 : colon);
  if (host == "localhost") host = "127.0.0.1";
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const std::string port_text = colon == std::string::npos ? "" : address.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, parse_error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  beast::error_code error;
  const auto ip = asio::ip::make_address(host, error);
  if (error || parse_error != std::errc() || end != port_text.data() + port_text.size() || port_text.empty()) {
    return InvalidInput("HTTP_ADDRESS", Cat("\"", address, "\" is not an address"),
                        "write IP:PORT, such as 127.0.0.1:8080 (port 0: any free one)");
  }
  return tcp::endpoint(ip, port);
}

}  // namespace

HttpResponse HttpResponse::Text(int status, std::string text, std::string content_type) {
  HttpResponse response;
  response.status = status;
  response.headers.emplace_back("Content-Type", std::move(content_type));
  response.body = std::move(text);
  return response;
}

HttpResponse HttpResponse::Json(int status, std::string json) {
  return Text(status, std::move(json), "application/json");
}

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address, HttpHandler handler, int threads) {
  SWAGE_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, ParseAddress(address));
  auto server = std::make_unique<BeastServer>(std::move(handler), threads);
  SWAGE_RETURN_IF_ERROR(Annotate(server->Listen(endpoint, threads), address));
  return server;
}

}  // namespace swage
