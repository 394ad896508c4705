#pragma once
// What the genotypes' JSON has in common: {"space": NAME, "genotype": TEXT, ...}. For the sources of genotypes; the
// package nlohmann-json is theirs, not their users'.

#include <flowdarts/spaces/support/error.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace flowdarts {

/// The object in `text` whose "space" is `space`. Throws InputError.
nlohmann::json read_genotype_json(std::string_view text, std::string_view space);

/// A member that must be there and be a text. Throws InputError.
std::string text_member(const nlohmann::json& object, const std::string& name);

/// What `parse` makes of the member "genotype"; its InputError gets told where the text came from.
template <class Parse>
auto genotype_member(const nlohmann::json& object, const Parse& parse) {
  const std::string text = text_member(object, "genotype");
  try {
    return parse(text);
  } catch (const InputError& error) {
    throw InputError(std::string("genotype JSON: \"genotype\": ") + error.what());
  }
}

}  // namespace flowdarts
