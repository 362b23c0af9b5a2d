// One attempt over a handle of curl, which is used for one attempt after the other. Belongs to the sender's thread.
#pragma once

#include "adapters/webhooks/address_guard.hpp"
#include "adapters/webhooks/curl_sender.hpp"

#include <curl/curl.h>

#include <array>

namespace rdev::webhook_sending {

class transfer {
public:
  using clock = std::chrono::steady_clock;

  // Both must outlive it.
  transfer(const sender_config& config, const address_guard& guard);
  transfer(const transfer&) = delete;
  transfer& operator=(const transfer&) = delete;
  transfer(transfer&&) = delete;
  transfer& operator=(transfer&&) = delete;
  ~transfer() = default;

  // Makes the handle ready to be run; some words: there is nothing to run, for that reason.
  std::optional<std::string> prepare(const outgoing_message& m, clock::time_point asked);
  // How it ended, once curl is through with the handle.
  [[nodiscard]] sent_message outcome(CURLcode how) const;
  [[nodiscard]] CURL* handle() const {
    return easy_.get();
  }

private:
  struct easy_closer {
    void operator()(CURL* easy) const {
      ::curl_easy_cleanup(easy);
    }
  };
  struct list_closer {
    void operator()(curl_slist* list) const {
      ::curl_slist_free_all(list);
    }
  };
  using list = std::unique_ptr<curl_slist, list_closer>;

  void set_up();
  static void add(list& to, const std::string& line);
  static curl_socket_t open_socket(void* self, curlsocktype purpose, curl_sockaddr* address);
  static std::size_t take_head(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t take_body(char* data, std::size_t size, std::size_t count, void* self);
  bool take_line(std::string_view line);
  [[nodiscard]] std::string problem(CURLcode how) const;
  [[nodiscard]] std::string problem_with_connecting() const;
  [[nodiscard]] std::string problem_with_tls(CURLcode how) const;
  [[nodiscard]] bool was_connected() const;

  const sender_config& config_;
  const address_guard& guard_;
  std::unique_ptr<CURL, easy_closer> easy_;
  std::array<char, CURL_ERROR_SIZE> detail_{}; // what curl says about a failure

  // Of the attempt under way.
  clock::time_point asked_;
  bool encrypted_ = true;
  std::string body_;
  list fields_;
  std::string refused_; // why an address was not connected to
  int status_ = 0;      // of the head that comes
  bool head_ended_ = false;
  std::size_t head_bytes_ = 0;
  std::optional<std::chrono::seconds> retry_after_;
  std::string answer_; // the beginning of its body
  std::size_t answer_bytes_ = 0;
};

} // namespace rdev::webhook_sending
