#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <flowdarts/spaces/darts/draw.hpp>
#include <flowdarts/spaces/mobilenet/draw.hpp>
#include <flowdarts/spaces/nas_bench_201/draw.hpp>
#include <flowdarts/spaces/stand_alone/architecture.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

namespace flowdarts {
namespace {

/// The genotype of a source, read with a space's parse_genotype or from_json.
template <class Parse, class FromJson>
auto read_genotype(const GenotypeSource& source, const Parse& parse, const FromJson& from_json) {
  if (source.file.empty()) return parse(source.text);
  try {
    return from_json(source.text);
  } catch (const InputError& reason) {
    throw InputError(source.file + ": " + reason.what());
  }
}

nas_bench_201::Genotype read_nas_bench_201(const GenotypeSource& source) {
  try {
    return read_genotype(source, nas_bench_201::parse_genotype, nas_bench_201::from_json);
  } catch (const InputError& reason) {
    if (!source.file.empty() || source.text.starts_with('|')) throw;
    throw InputError(quote(source.text, 200) + ": found no such file and no architecture string (" + reason.what() +
                     ")");
  }
}

}  // namespace

GenotypeSource genotype_source(const std::string& argument) {
  std::error_code error;
  std::filesystem::path file = argument;
  if (argument.starts_with('|') || !std::filesystem::exists(file, error)) return {argument, {}};
  if (std::filesystem::is_directory(file, error)) file /= "genotype.json";
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw InputError(file.string() + ": cannot open: " + std::strerror(errno));
  constexpr std::size_t limit = std::size_t{1} << 20U;
  std::string text(limit, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(limit));
  if (stream.bad()) throw InputError(file.string() + ": cannot read: " + std::strerror(errno));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() == limit) throw InputError(file.string() + ": found more than 1 MiB, expected a genotype.json");
  return {std::move(text), file.string()};
}

std::string_view space_of(const GenotypeSource& source) {
  if (source.file.empty()) {
    if (source.text.find("Genotype") != std::string::npos) return darts::space_name;
    return source.text.starts_with('k') ? mobilenet::space_name : nas_bench_201::space_name;
  }
  const auto object = nlohmann::json::parse(source.text, nullptr, /*allow_exceptions=*/false);
  const auto says = [&](std::string_view space) {
    return object.is_object() && object.contains("space") && object["space"] == space;
  };
  for (const std::string_view space : {darts::space_name, mobilenet::space_name}) {
    if (says(space)) return space;
  }
  return nas_bench_201::space_name;
}

std::string_view space_of(const Architecture& architecture) {
  constexpr std::array<std::string_view, std::variant_size_v<Architecture>> names{
      nas_bench_201::space_name, darts::space_name, mobilenet::space_name};
  return names[architecture.index()];
}

Architecture read_architecture(const GenotypeSource& source, std::string_view space) {
  if (space == nas_bench_201::space_name) return read_nas_bench_201(source);
  if (space == darts::space_name) return read_genotype(source, darts::parse_genotype, darts::from_json);
  if (space == mobilenet::space_name) return read_genotype(source, mobilenet::parse_genotype, mobilenet::from_json);
  throw InputError("--space: found " + quote(space) + ", expected \"nas-bench-201\", \"darts\" or \"mobilenet\"");
}

Architecture read_architecture(const std::string& argument, const std::optional<std::string>& space) {
  const GenotypeSource source = genotype_source(argument);
  return read_architecture(source, space ? std::string_view(*space) : space_of(source));
}

std::string to_string(const Architecture& architecture) {
  return std::visit([](const auto& genotype) { return to_string(genotype); }, architecture);
}

std::string to_json(const Architecture& architecture) {
  return std::visit([](const auto& genotype) { return to_json(genotype); }, architecture);
}

std::string to_dot(const Architecture& architecture) {
  return std::visit([](const auto& genotype) { return to_dot(genotype); }, architecture);
}

std::string draw(const Architecture& architecture) {
  return std::visit([](const auto& genotype) { return draw(genotype); }, architecture);
}

}  // namespace flowdarts
