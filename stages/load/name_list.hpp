#pragma once
// Many names in little memory.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {

/// Names one behind the other in one buffer: each costs its own bytes and 8 more, and nothing is allocated for it
/// alone.
class NameList {
 public:
  void add(std::string_view name) {
    text_ += name;
    ends_.push_back(text_.size());
  }
  [[nodiscard]] std::size_t size() const { return ends_.size(); }
  [[nodiscard]] bool empty() const { return ends_.empty(); }
  [[nodiscard]] std::string_view operator[](std::size_t i) const {
    const std::uint64_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string text_;
  std::vector<std::uint64_t> ends_;
};

/// The places of the names that stand at an earlier place already, ascending.
[[nodiscard]] std::vector<std::size_t> repeated_names(const NameList& names);

}  // namespace flowdarts
