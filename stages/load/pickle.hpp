#pragma once
// The part of Python's pickle format (protocols 2 to 5) that data sets are published in: dictionaries, lists, tuples,
// numbers, text, bytes and NumPy arrays of numbers. Nothing is ever called or imported: any other object is refused.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace flowdarts::pickle {

struct Value;
using List = std::vector<Value>;  // also of a tuple

/// A NumPy array as it lies in the file.
struct Array {
  std::string dtype;  // NumPy's name for it: "u1", "i8", "f4", ...
  std::vector<std::int64_t> shape;
  bool fortran_order = false;
  std::span<const std::uint8_t> bytes;                     // of the file, or of
  std::shared_ptr<const std::vector<std::uint8_t>> owned;  // what protocol 2 wrote as text
};

struct Dict {
  std::vector<std::pair<std::string, Value>> items;  // keys that are text or bytes; others are refused

  /// Null where there is none.
  [[nodiscard]] const Value* find(std::string_view key) const;
};

struct Value {
  std::variant<std::monostate, std::int64_t, double, std::string, std::shared_ptr<List>, std::shared_ptr<Dict>,
               std::shared_ptr<Array>>
      data;

  [[nodiscard]] const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data); }
  [[nodiscard]] const List* list() const { return pointer<List>(); }
  [[nodiscard]] const Dict* dict() const { return pointer<Dict>(); }
  [[nodiscard]] const Array* array() const { return pointer<Array>(); }

 private:
  template <class T>
  [[nodiscard]] const T* pointer() const {
    const auto* found = std::get_if<std::shared_ptr<T>>(&data);
    return found != nullptr ? found->get() : nullptr;
  }
};

/// The object of a file's bytes, which must outlive its arrays. Throws InputError, after `name`, with the position of
/// what is damaged or not of these kinds.
[[nodiscard]] Value parse(std::span<const std::uint8_t> bytes, const std::string& name);

}  // namespace flowdarts::pickle
