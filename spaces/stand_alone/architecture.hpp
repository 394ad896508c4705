#pragma once
// An architecture of any space, and where it is read from. No LibTorch.

#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace flowdarts {

using Architecture = std::variant<nas_bench_201::Genotype, darts::Genotype, mobilenet::Genotype>;

/// What was given as a genotype: a text, or the content of a genotype.json.
struct GenotypeSource {
  std::string text;
  std::string file;  // empty: the text was the argument itself
};

/// A genotype's text, a genotype.json or a run directory that holds one: whatever of them exists, else the text. Throws
/// InputError where the file cannot be read.
GenotypeSource genotype_source(const std::string& argument);

/// The space that a genotype itself speaks of; NAS-Bench-201 where it does not say.
std::string_view space_of(const GenotypeSource& source);
std::string_view space_of(const Architecture& architecture);

/// The genotype of a source. Throws InputError, also for a space that there is not.
Architecture read_architecture(const GenotypeSource& source, std::string_view space);
/// The same of genotype_source(argument), in the space given or else the one the genotype speaks of.
Architecture read_architecture(const std::string& argument, const std::optional<std::string>& space = {});

/// As the functions of the architecture's space do.
std::string to_string(const Architecture& architecture);
std::string to_json(const Architecture& architecture);
std::string to_dot(const Architecture& architecture);
std::string draw(const Architecture& architecture);

}  // namespace flowdarts
