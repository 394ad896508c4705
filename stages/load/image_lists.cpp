#include <algorithm>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <flowdarts/stages/load/image_lists.hpp>
#include <flowdarts/stages/load/read_file.hpp>

#include <unordered_map>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t max_list_bytes = std::uint64_t{4} << 30U;

[[noreturn]] void refuse(const fs::path& file, std::size_t line, const std::string& what) {
  throw InputError(printable(file) + ": line " + std::to_string(line) + ": " + what);
}

/// f(line, its number) for each line; without its end, which may be that of DOS. Throws InputError for an empty file.
template <class F>
void for_each_line(const fs::path& file, const F& f) {
  const std::vector<std::uint8_t> bytes = read_file(file, max_list_bytes);
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::size_t number = 0;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    f(line, ++number);
  }
  if (number == 0) throw InputError(printable(file) + ": is empty, expected a line at least");
}

bool is_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos;
}

}  // namespace

std::vector<std::string> read_class_names(const fs::path& file) {
  std::vector<std::string> names;
  NameList seen;
  for_each_line(file, [&](std::string_view name, std::size_t line) {
    if (!is_file_name(name)) refuse(file, line, "found " + quote(name) + ", expected a class name");
    names.emplace_back(name);
    seen.add(name);
  });
  if (const auto repeated = repeated_names(seen); !repeated.empty()) {
    refuse(file, repeated.front() + 1, "found the class " + quote(seen[repeated.front()]) + " once more");
  }
  return names;
}

ImageLists read_image_lists(const fs::path& folder) {
  ImageLists lists{.classes = read_class_names(folder / classes_list)};
  std::unordered_map<std::string, std::int32_t> labels;
  for (const std::string& name : lists.classes) labels.emplace(name, static_cast<std::int32_t>(labels.size()));
  const auto read = [&](std::string_view name) {
    const fs::path file = folder / name;
    for_each_line(file, [&](std::string_view path, std::size_t line) {
      const std::size_t slash = std::min(path.find('/'), path.size());
      const auto label = labels.find(std::string(path.substr(0, slash)));
      if (slash == path.size() || !is_file_name(path.substr(slash + 1)) || label == labels.end()) {
        refuse(file, line,
               "found " + quote(path) + ", expected CLASS/FILE with a class of " + std::string(classes_list));
      }
      lists.images.add(path);
      lists.labels.push_back(label->second);
    });
  };
  read(train_list);
  lists.train = lists.images.size();
  read(val_list);
  if (const auto repeated = repeated_names(lists.images); !repeated.empty()) {
    const std::size_t i = repeated.front();
    const bool in_train = i < lists.train;
    refuse(folder / (in_train ? train_list : val_list), i + 1 - (in_train ? 0 : lists.train),
           "found the image " + quote(lists.images[i]) + " once more");
  }
  std::vector<bool> has_image(lists.classes.size());
  for (std::size_t i = 0; i < lists.train; ++i) has_image[static_cast<std::size_t>(lists.labels[i])] = true;
  for (std::size_t c = 0; c < has_image.size(); ++c) {
    if (!has_image[c]) {
      throw InputError(printable(folder / train_list) + ": found no image of the class " + quote(lists.classes[c]) +
                       ", expected one at least");
    }
  }
  return lists;
}

}  // namespace flowdarts
