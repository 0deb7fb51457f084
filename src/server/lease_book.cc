#include "server/lease_book.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace stillframe::server {

bool LeaseBook::Join(const std::string& instance) {
  if (lost_.contains(instance)) return false;
  entries_.try_emplace(instance);
  return true;
}

bool LeaseBook::Report(const std::string& instance, const model::LeaseReport& report) {
  const auto found = entries_.find(instance);
  if (found == entries_.end()) return false;
  Entry& entry = found->second;
  entry.heard = true;
  entry.used = std::max(entry.used, std::min(report.used, entry.granted));
  entry.wants = report.wanted && report.used >= entry.target;
  bool news = entry.wants;
  // The answer to what it was told last, not to something older.
  if (entry.target < entry.granted && report.version == entry.version) {
    // Never more than it had, whatever it says.
    const uint64_t least = std::max(entry.target, entry.used);
    entry.granted = entry.target = std::clamp(report.granted, least, entry.granted);
    news = true;
  }
  return news;
}

void LeaseBook::Leave(const std::string& instance) {
  const auto found = entries_.find(instance);
  if (found == entries_.end()) return;
  // What is not known was spent, rather than captured twice.
  spent_ += found->second.heard ? found->second.used : found->second.granted;
  entries_.erase(found);
}

void LeaseBook::Lose(const std::string& instance) {
  if (entries_.contains(instance)) lost_.insert(instance);
  Leave(instance);
}

uint64_t LeaseBook::Free() const {
  uint64_t left = max_hits_ - std::min(max_hits_, spent_);
  for (const auto& [instance, entry] : entries_) left -= std::min(left, entry.granted);
  return left;
}

void LeaseBook::Give(Entry& entry, uint64_t count) {
  entry.granted += count;
  entry.target += count;
  entry.wants = entry.is_new = false;
  ++entry.version;
}

bool LeaseBook::Distribute() {
  // Those who ask first: a single hit must not wander through all who have not.
  std::vector<Entry*> takers;
  for (const bool asked : {true, false}) {
    if (!takers.empty()) break;
    for (auto& [instance, entry] : entries_) {
      // Who is called back waits until that is over.
      const bool takes = asked ? entry.wants : entry.is_new;
      if (takes && entry.target == entry.granted) takers.push_back(&entry);
    }
  }
  uint64_t left = Free();
  if (takers.empty()) return false;
  if (left == 0) {
    CallBack();
    return false;
  }
  for (size_t i = 0; i < takers.size() && left != 0; ++i) {
    const uint64_t others = takers.size() - i;
    const uint64_t share = (left + others - 1) / others;
    Give(*takers[i], share);
    left -= share;
  }
  if (takers.back()->wants) CallBack();  // there was not enough for all
  return true;
}

// Only for those who ask: who has not been hit needs none.
void LeaseBook::CallBack() {
  Entry* richest = nullptr;
  const auto rest = [](const Entry& entry) { return entry.granted - entry.used; };
  bool asked = false;
  for (auto& [instance, entry] : entries_) {
    if (entry.target < entry.granted) return;  // one at a time
    asked = asked || entry.wants;
    if (richest == nullptr || rest(entry) > rest(*richest)) richest = &entry;
  }
  if (!asked || richest == nullptr || rest(*richest) == 0) return;
  richest->target = richest->granted - (rest(*richest) + 1) / 2;
  ++richest->version;
}

model::Lease LeaseBook::LeaseOf(const std::string& instance) const {
  const auto found = entries_.find(instance);
  if (found == entries_.end()) return {.granted = 0, .over = IsOver()};
  return {found->second.target, IsOver(), found->second.version};
}

std::vector<std::string> LeaseBook::instances() const {
  std::vector<std::string> names;
  for (const auto& [instance, entry] : entries_) names.push_back(instance);
  return names;
}

bool LeaseBook::IsOver() const {
  uint64_t left = max_hits_ - std::min(max_hits_, spent_);
  for (const auto& [instance, entry] : entries_) left -= std::min(left, entry.used);
  return left == 0;
}

std::string LeaseBook::ToJson() const {
  nlohmann::json json = {{"spent", spent_}, {"lost", lost_}, {"granted", nlohmann::json::object()}};
  for (const auto& [instance, entry] : entries_) {
    json["granted"][instance] = {entry.granted, entry.version};
  }
  return json.dump();
}

void LeaseBook::FromJson(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) {
    if (!text.empty()) spent_ = max_hits_;  // damaged, see below
    return;
  }
  try {
    spent_ = json.value("spent", uint64_t{0});
    lost_ = json.value("lost", std::set<std::string>());
    for (const auto& [instance, pair] : json.at("granted").items()) {
      Entry entry;
      entry.granted = entry.target = pair.at(0).get<uint64_t>();
      entry.version = pair.at(1).get<uint64_t>() + 1;
      entry.is_new = entry.granted == 0;
      entry.heard = false;
      entries_[instance] = entry;
    }
  } catch (const nlohmann::json::exception&) {
    // Damaged: nobody gets anything more, rather than too much.
    spent_ = max_hits_;
  }
}

}  // namespace stillframe::server
