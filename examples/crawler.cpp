// A crawler: fetches a page and all pages that it links to, politely.
//
//     $ python3 -m http.server 8000 --bind 127.0.0.1               # in a folder with pages
//     $ ./build/examples/crawler 8 2 5 http://127.0.0.1:8000/      # in a second terminal
//     http://127.0.0.1:8000/: 443 bytes
//     http://127.0.0.1:8000/gone: 404
//     ...
//     12 pages, 1 failed
//
// At most 8 requests run at once, at most 2 on one host, and each has 5 seconds.
//
// Shows: a fiber per page, in a group that ends when no page is left; semaphores, which serve
// fibers in the order in which they came; with_timeout(), which limits a call of many waits;
// as_result(), where a failure is one line of the output. A page waits for its host before it waits
// for one of the 8, so that a slow host does not take all of them. Leaves out: TLS, names (URLs are
// numeric), redirections, relative links, pages that change.
// SPDX-License-Identifier: MIT
#include <ringlet/ringlet.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using namespace ringlet;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view scheme = "http://";
constexpr std::size_t page_max = 1024 * 1024;
constexpr std::size_t pages_max = 10'000;

struct crawl {
  semaphore requests;
  std::size_t per_host;
  std::chrono::seconds limit;
  std::map<std::string, semaphore, std::less<>> hosts = {};
  std::set<std::string> seen = {};
  std::size_t fetched = 0;
  std::size_t failed = 0;
};

std::string host_of(std::string_view url) {
  url.remove_prefix(scheme.size());
  return std::string(url.substr(0, url.find('/')));
}

std::vector<std::string> links_in(std::string_view page) {
  std::vector<std::string> found;
  for (std::size_t at = 0; (at = page.find(scheme, at)) != page.npos; at += scheme.size()) {
    const std::string_view rest = page.substr(at);
    found.emplace_back(rest.substr(0, rest.find_first_of("\"'<> \r\n")));
  }
  return found;
}

// A page may link to anything. What is no address fails like a server that does not answer.
address address_of(std::string_view host) {
  try {
    return address::parse(host);
  } catch (const std::invalid_argument& error) {
    throw_error(std::make_error_code(std::errc::invalid_argument), error.what());
  }
}

struct answer {
  std::string status;
  std::string body;
};

task<answer> fetch(const std::string& url) {
  const std::string host = host_of(url);
  const std::string path = url.substr(scheme.size() + host.size());
  auto server = co_await tcp_stream::connect(address_of(host));
  const std::string request =
      "GET " + (path.empty() ? "/" : path) + " HTTP/1.0\r\nHost: " + host + "\r\n\r\n";
  co_await server.write_all(request);
  std::string text;
  while (buffer data = co_await server.receive()) {
    text += data.text();
    if (text.size() > page_max) throw_error(errc::too_long, "page");
  }
  const std::size_t head_end = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.") || head_end == text.npos) {
    throw_error(std::make_error_code(std::errc::bad_message), "page");
  }
  co_return answer{text.substr(9, 3), text.substr(head_end + 4)};
}

task<> visit(task_group& pages, crawl& all, std::string url) {
  semaphore& host = all.hosts.try_emplace(host_of(url), all.per_host).first->second;
  const auto turn_at_host = co_await host.acquire();
  const auto turn = co_await all.requests.acquire();
  const auto page = co_await as_result(with_timeout(all.limit, fetch(url)));
  if (!page || page->status != "200") {
    ++all.failed;
    const std::string reason = page ? page->status : page.error().message();
    std::printf("%s: %s\n", url.c_str(), reason.c_str());
    co_return;
  }
  ++all.fetched;
  std::printf("%s: %zu bytes\n", url.c_str(), page->body.size());
  for (std::string& link : links_in(page->body)) {
    if (all.seen.size() == pages_max || !all.seen.insert(link).second) continue;
    pages.spawn(visit, std::ref(pages), std::ref(all), std::move(link));
  }
}

task<int> crawl_from(std::size_t at_once, std::size_t per_host, long seconds, std::string url) {
  crawl all{semaphore(at_once), per_host, std::chrono::seconds(seconds)};
  all.seen.insert(url);
  co_await with_group(visit, all, url);
  std::printf("%zu pages, %zu failed\n", all.fetched, all.failed);
  co_return all.failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const long at_once = argc == 5 ? std::atol(argv[1]) : 0;
  const long per_host = argc == 5 ? std::atol(argv[2]) : 0;
  const long seconds = argc == 5 ? std::atol(argv[3]) : 0;
  if (at_once < 1 || per_host < 1 || seconds < 1 ||
      !std::string_view(argv[4]).starts_with(scheme)) {
    std::fprintf(stderr,
                 "usage: crawler REQUESTS REQUESTS_PER_HOST SECONDS http://ADDRESS:PORT/\n");
    return 2;
  }
  return run_main(crawl_from(static_cast<std::size_t>(at_once), static_cast<std::size_t>(per_host),
                             seconds, argv[4]));
}
