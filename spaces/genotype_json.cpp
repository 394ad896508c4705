#include <flowdarts/spaces/genotype_json.hpp>
#include <flowdarts/spaces/support/quote.hpp>

namespace flowdarts {

nlohmann::json read_genotype_json(std::string_view text, std::string_view space) {
  auto object = [text] {
    try {
      return nlohmann::json::parse(text);
    } catch (const nlohmann::json::parse_error& error) {
      throw InputError("genotype JSON: byte " + std::to_string(error.byte) +
                       ": found no valid JSON, expected an object");
    } catch (const nlohmann::json::out_of_range&) {
      throw InputError("genotype JSON: found a number beyond the range of a double");
    }
  }();
  if (!object.is_object()) {
    throw InputError(std::string("genotype JSON: found ") + object.type_name() + ", expected an object");
  }
  if (const std::string found = text_member(object, "space"); found != space) {
    throw InputError("genotype JSON: \"space\": found " + quote(found) + ", expected " + quote(space));
  }
  return object;
}

std::string text_member(const nlohmann::json& object, const std::string& name) {
  const auto member = object.find(name);
  if (member == object.end()) throw InputError("genotype JSON: found no member \"" + name + "\"");
  if (!member->is_string()) {
    throw InputError("genotype JSON: \"" + name + "\": found " + member->type_name() + ", expected a string");
  }
  return member->get<std::string>();
}

}  // namespace flowdarts
