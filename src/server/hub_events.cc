// The event stream, and what happens by time.
#include <charconv>

#include "server/clock.h"
#include "server/hub.h"

namespace stillframe::server {
namespace {

constexpr size_t kMaxEvents = 2'000;
constexpr uint64_t kMaxEventBytes = 16u << 20;
constexpr size_t kMaxSubscribers = 1'000;
constexpr int64_t kHeartbeatMs = 10'000;

Response ErrorResponse(int status, const std::string& code, const std::string& message) {
  Response response;
  response.status = status;
  response.body = model::ErrorToJson({code, message, ""});
  return response;
}

}  // namespace

bool Hub::Sees(const Subscriber& subscriber, const Event& event) {
  return (subscriber.service.empty() || subscriber.service == event.service) &&
         subscriber.principal.SeesService(event.service) &&
         (event.any_environment || subscriber.principal.SeesEnvironment(event.environment));
}

void Hub::Emit(const std::string& name, Event event, const std::string& json) {
  event.id = next_event_++;
  event.text = "id: " + std::to_string(event.id) + "\nevent: " + name + "\ndata: " + json + "\n\n";
  std::erase_if(subscribers_, [&event](const Subscriber& subscriber) {
    return Sees(subscriber, event) && !subscriber.exchange->Write(event.text);
  });
  event_bytes_ += event.text.size();
  events_.push_back(std::move(event));
  while (events_.size() > kMaxEvents || event_bytes_ > kMaxEventBytes) {
    event_bytes_ -= events_.front().text.size();
    events_.pop_front();
  }
}

void Hub::PublishEvent(const std::string& name, const std::string& service,
                       const std::string& environment, const std::string& json) {
  const std::lock_guard lock(mutex_);
  Emit(name, {0, service, environment, false, ""}, json);
}

void Hub::Subscribe(const std::string& service, const Principal& principal,
                    const std::string& last_event_id, std::shared_ptr<Exchange> exchange) {
  if (!AddSubscriber(service, principal, last_event_id, exchange)) return;
  // Not under the lock: the callback may run at once.
  exchange->OnClosed([this, raw = exchange.get()] { DropSubscriber(raw); });
}

// The reader has hung up: not held until the next event.
void Hub::DropSubscriber(const Exchange* exchange) {
  const std::lock_guard lock(mutex_);
  std::erase_if(subscribers_, [exchange](const Subscriber& subscriber) {
    return subscriber.exchange.get() == exchange;
  });
}

bool Hub::AddSubscriber(const std::string& service, const Principal& principal,
                        const std::string& last_event_id,
                        const std::shared_ptr<Exchange>& exchange) {
  const std::lock_guard lock(mutex_);
  if (subscribers_.size() >= kMaxSubscribers || draining_) {
    exchange->Send(ErrorResponse(draining_ ? 503 : 429, "OVER_LIMIT",
                                 draining_ ? "the server is stopping" : "too many event streams"));
    return false;
  }
  Response head;
  head.content_type = "text/event-stream";
  exchange->StartStream(std::move(head));
  Subscriber subscriber{exchange, service, principal};
  // An id without data is no event, but what the client resumes from.
  bool alive = exchange->Write(last_event_id.empty()
                                   ? ": stillframe\nid: " + std::to_string(next_event_ - 1) + "\n\n"
                                   : ": stillframe\n\n");
  uint64_t last = 0;
  const char* end = last_event_id.data() + last_event_id.size();
  const bool resumes = !last_event_id.empty();
  const auto [stop, error] = std::from_chars(last_event_id.data(), end, last);
  // Ids of an earlier run lie below ours, garbage has none: what was missed is not known.
  const uint64_t oldest = events_.empty() ? next_event_ : events_.front().id;
  const bool gap =
      resumes && (error != std::errc() || stop != end || last >= next_event_ || last + 1 < oldest);
  if (gap) {
    alive = alive && exchange->Write("id: " + std::to_string(next_event_ - 1) +
                                     "\nevent: reset\n"
                                     "data: {\"reason\":\"events were missed\"}\n\n");
  }
  for (const Event& event : events_) {
    if (resumes && !gap && event.id > last && Sees(subscriber, event)) {
      alive = alive && exchange->Write(event.text);
    }
  }
  if (alive) subscribers_.push_back(std::move(subscriber));
  return alive;
}

void Hub::Tick() {
  const std::lock_guard lock(mutex_);
  const int64_t now_ms = MonotonicMs();
  TickAgents(now_ms);
  TickQuestions(now_ms);
  CheckKeys(now_ms);
  ExpireTracepoints(WallMs());
  TickCanaries(now_ms);
  LoseUnheard(now_ms);
  if (now_ms - heartbeat_ms_ < kHeartbeatMs) return;
  heartbeat_ms_ = now_ms;
  std::erase_if(subscribers_, [](const Subscriber& subscriber) {
    return !subscriber.exchange->Write(": heartbeat\n\n");
  });
}

void Hub::Drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
  for (auto& [instance, agent] : agents_) AnswerHeld(agent);
  for (auto& [id, question] : questions_) {
    question.done(ErrorResponse(503, "UNAVAILABLE", "the server is stopping"));
  }
  questions_.clear();
  for (const Subscriber& subscriber : subscribers_) subscriber.exchange->EndStream();
  subscribers_.clear();
}

HubStats Hub::stats() {
  const std::lock_guard lock(mutex_);
  HubStats stats{agents_.size(), 0, subscribers_.size(), tracepoints_.size()};
  for (const auto& [instance, agent] : agents_) stats.held_polls += agent.held.has_value();
  return stats;
}

}  // namespace stillframe::server
