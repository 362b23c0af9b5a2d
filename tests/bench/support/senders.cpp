// Sends so many requests a second from many addresses, at random moments that do not depend on each other or on what is
// answered (a Poisson process): `bench_senders HOST PORT RATE FILE`. The
// file holds the addresses, an empty one, and the requests, each ended by a NUL. Says `ready` when all are connected,
// begins at the next line of its input, and says at the end, as JSON, how often each status was answered and how many
// seconds it took.
#include <utility> // asio does not say that it needs it

#include <boost/asio.hpp>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using clock = std::chrono::steady_clock;
using answered = std::function<void(const std::string& status)>;

struct input {
  std::vector<std::string> addresses;
  std::vector<std::string> requests;
};

input read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  input out;
  std::string piece;
  while (std::getline(file, piece, '\0') && !piece.empty())
    out.addresses.push_back(piece);
  while (std::getline(file, piece, '\0'))
    out.requests.push_back(piece);
  return out;
}

// A keep-alive connection with the requests that wait for it. A lost one answers nothing any more.
class sender {
public:
  sender(asio::io_context& io, const tcp::endpoint& to, const std::string& from, answered& tell)
      : socket_(io), tell_(tell) {
    socket_.open(tcp::v4());
    socket_.bind({asio::ip::make_address(from), 0});
    socket_.connect(to);
    socket_.set_option(tcp::no_delay(true));
  }

  void send(const std::string& request) {
    waiting_.push_back(&request);
    if (waiting_.size() == 1)
      next();
  }

private:
  void next() {
    asio::async_write(socket_, asio::buffer(*waiting_.front()), [this](const auto& failed, std::size_t) {
      if (!failed)
        asio::async_read_until(socket_, asio::dynamic_buffer(got_), "\r\n\r\n",
                               [this](const auto& lost, std::size_t head) {
                                 if (!lost)
                                   on_head(head);
                               });
    });
  }

  void on_head(std::size_t head) {
    constexpr std::string_view name = "\r\nContent-Length: ";
    std::size_t length = 0;
    if (const auto at = got_.find(name); at < head)
      std::from_chars(got_.data() + at + name.size(), got_.data() + head, length);
    const auto whole = head + length;
    if (got_.size() >= whole)
      return on_answer();
    asio::async_read(socket_, asio::dynamic_buffer(got_), asio::transfer_exactly(whole - got_.size()),
                     [this](const auto& lost, std::size_t) {
                       if (!lost)
                         on_answer();
                     });
  }

  void on_answer() {
    const auto status = got_.substr(sizeof "HTTP/1.1", 3);
    got_.clear();
    waiting_.pop_front();
    if (!waiting_.empty())
      next();
    tell_(status);
  }

  tcp::socket socket_;
  answered& tell_;
  std::deque<const std::string*> waiting_; // the first is under way
  std::string got_;
};

class crowd {
public:
  crowd(asio::io_context& io, const tcp::endpoint& to, const input& what, double rate)
      : io_(io), timer_(io), requests_(what.requests), gap_(rate) {
    for (const auto& from : what.addresses)
      senders_.push_back(std::make_unique<sender>(io, to, from, tell_));
  }

  void run() {
    begin_ = due_ = clock::now();
    send_due();
    io_.run();
    std::cout << "{\"statuses\":{";
    for (const auto* separator = ""; const auto& [status, count] : statuses_) {
      std::cout << separator << '"' << status << "\":" << count;
      separator = ",";
    }
    std::cout << "},\"seconds\":" << std::chrono::duration<double>(clock::now() - begin_).count() << "}" << std::endl;
  }

private:
  void send_due() {
    for (; sent_ < requests_.size() && due_ <= clock::now(); ++sent_) {
      senders_[sent_ % senders_.size()]->send(requests_[sent_]);
      due_ += std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(gap_(random_)));
    }
    if (sent_ == requests_.size())
      return;
    timer_.expires_at(due_);
    timer_.async_wait([this](const auto&) { send_due(); });
  }

  asio::io_context& io_;
  asio::steady_timer timer_;
  const std::vector<std::string>& requests_;
  std::mt19937_64 random_{20'261'128};
  std::exponential_distribution<double> gap_; // in seconds
  std::map<std::string, int> statuses_;
  std::size_t answers_ = 0;
  answered tell_ = [this](const std::string& status) {
    ++statuses_[status];
    if (++answers_ == requests_.size())
      io_.stop();
  };
  std::vector<std::unique_ptr<sender>> senders_;
  std::size_t sent_ = 0;
  clock::time_point begin_;
  clock::time_point due_; // the next one
};

} // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "bench_senders HOST PORT RATE FILE\n";
    return 2;
  }
  try {
    const auto what = read(argv[4]);
    asio::io_context io;
    const tcp::endpoint to(asio::ip::make_address(argv[1]), static_cast<std::uint16_t>(std::stoi(argv[2])));
    crowd all(io, to, what, std::stod(argv[3]));
    std::cout << "ready" << std::endl;
    std::string line;
    std::getline(std::cin, line);
    all.run();
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "bench_senders: " << e.what() << '\n';
    return 1;
  }
}
