#include <algorithm>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/load/name_list.hpp>

namespace flowdarts {

std::vector<std::size_t> repeated_names(const NameList& names) {
  struct Place {
    std::uint64_t hash;
    std::size_t index;
  };
  std::vector<Place> places;
  places.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    Fingerprint hash;
    hash.add(names[i]);
    places.push_back({hash.value(), i});
  }
  // By hash, since most comparisons then end at one word; equal hashes alone prove nothing.
  std::ranges::sort(places, [&](const Place& a, const Place& b) {
    if (a.hash != b.hash) return a.hash < b.hash;
    const int order = names[a.index].compare(names[b.index]);
    return order != 0 ? order < 0 : a.index < b.index;
  });
  std::vector<std::size_t> repeated;
  for (std::size_t i = 1; i < places.size(); ++i) {
    if (places[i].hash == places[i - 1].hash && names[places[i].index] == names[places[i - 1].index]) {
      repeated.push_back(places[i].index);
    }
  }
  std::ranges::sort(repeated);
  return repeated;
}

}  // namespace flowdarts
