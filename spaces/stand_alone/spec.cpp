#include <flowdarts/spaces/darts/count.hpp>
#include <flowdarts/spaces/mobilenet/count.hpp>
#include <flowdarts/spaces/nas_bench_201/count.hpp>
#include <flowdarts/spaces/stand_alone/spec.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <nlohmann/json.hpp>

namespace flowdarts {
namespace {

using Json = nlohmann::ordered_json;

/// f(name, member) for each member of the spec that the space has a use for.
template <class F>
void for_each_member(std::string_view space, StandAloneSpec& spec, const F& f) {
  f("classes", spec.classes);
  f("image_size", spec.image_size);
  if (space == mobilenet::space_name) {
    f("widths", spec.widths);
    f("stem_stride", spec.stem_stride);
    return;
  }
  f("channels", spec.channels);
  f("cells", spec.cells);
  if (space == darts::space_name) {
    f("stem", spec.stem);
    f("auxiliary", spec.auxiliary);
    f("auxiliary_norm", spec.auxiliary_norm);
  }
}

Json value_of(int number) {
  return number;
}
Json value_of(bool on) {
  return on;
}
Json value_of(darts::Stem stem) {
  return name_in_options(stem);
}
Json value_of(const mobilenet::Widths& widths) {
  return to_string(widths);
}

void read_value(const Json& value, int& number) {
  number = value.get<int>();
}
void read_value(const Json& value, bool& on) {
  on = value.get<bool>();
}
void read_value(const Json& value, mobilenet::Widths& widths) {
  widths = mobilenet::parse_widths(value.get<std::string>());
}
void read_value(const Json& value, darts::Stem& stem) {
  const auto found = value.get<std::string>();
  for (const auto& [candidate, name] : names_of(stem)) {
    if (name != found) continue;
    stem = candidate;
    return;
  }
  throw InputError("found " + quote(found) + ", expected \"cifar\" or \"imagenet\"");
}

StandAloneCounts count(const nas_bench_201::Genotype& genotype, const StandAloneSpec& spec) {
  const auto counts = count_network(
      genotype,
      nas_bench_201::NetworkShape{
          .channels = spec.channels, .cells = spec.cells, .classes = spec.classes, .image_size = spec.image_size});
  return {.params = counts.params, .macs = counts.macs};
}

StandAloneCounts count(const darts::Genotype& genotype, const StandAloneSpec& spec) {
  const auto counts = count_network(genotype, darts_spec(spec), spec.image_size);
  StandAloneCounts result{.params = counts.params, .macs = counts.macs};
  if (spec.auxiliary) {
    result.auxiliary_params = counts.auxiliary_params;
    result.auxiliary_macs = counts.auxiliary_macs;
  }
  return result;
}

StandAloneCounts count(const mobilenet::Genotype& genotype, const StandAloneSpec& spec) {
  const auto counts = count_network(genotype, mobilenet::NetworkShape{.widths = spec.widths,
                                                                      .classes = spec.classes,
                                                                      .image_size = spec.image_size,
                                                                      .stem_stride = spec.stem_stride});
  return {.params = counts.params, .macs = counts.macs};
}

}  // namespace

darts::NetworkSpec darts_spec(const StandAloneSpec& spec) {
  return {.channels = spec.channels,
          .cells = spec.cells,
          .classes = spec.classes,
          .stem = spec.stem,
          .auxiliary = spec.auxiliary,
          .auxiliary_norm = spec.auxiliary_norm};
}

StandAloneSpec paper_spec(std::string_view space, darts::Stem stem) {
  if (space == nas_bench_201::space_name) return {};
  if (space == mobilenet::space_name) return {.classes = 1000, .image_size = 224};
  if (space != darts::space_name) {
    throw InputError("space: found " + quote(space) + ", expected nas-bench-201, darts or mobilenet");
  }
  const bool imagenet = stem == darts::Stem::imagenet;
  const darts::NetworkSpec& network = imagenet ? darts::imagenet_network : darts::cifar_network;
  return {.classes = static_cast<int>(network.classes),
          .image_size = imagenet ? 224 : 32,
          .channels = static_cast<int>(network.channels),
          .cells = static_cast<int>(network.cells),
          .stem = stem};
}

std::string to_json(const StandAlone& network) {
  const std::string_view space = space_of(network.architecture);
  Json object{{"space", space}, {"genotype", to_string(network.architecture)}};
  StandAloneSpec spec = network.spec;
  for_each_member(space, spec, [&](const char* name, const auto& value) { object[name] = value_of(value); });
  return object.dump(2) + "\n";
}

StandAlone stand_alone_from_json(std::string_view text) {
  const Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto member = [&](const char* name) -> const Json& {
    if (object.is_object() && object.contains(name)) return object[name];
    throw InputError(std::string("network JSON: found no member \"") + name + "\"");
  };
  const auto read = [&](const char* name, const auto& use) {
    try {
      use(member(name));
    } catch (const nlohmann::json::exception&) {
      throw InputError(std::string("network JSON: \"") + name + "\": found " + quote(member(name).dump()) +
                       ", expected another type");
    } catch (const InputError& reason) {
      throw InputError(std::string("network JSON: \"") + name + "\": " + reason.what());
    }
  };
  std::string space;
  StandAlone network;
  member("space");
  member("genotype");
  read("space", [&](const Json& value) { space = value.get<std::string>(); });
  read("genotype", [&](const Json& value) {
    network.architecture = read_architecture(GenotypeSource{.text = value.get<std::string>()}, space);
  });
  for_each_member(space, network.spec, [&](const char* name, auto& value) {
    member(name);
    read(name, [&](const Json& found) { read_value(found, value); });
  });
  return network;
}

StandAloneCounts count_network(const StandAlone& network) {
  return std::visit([&](const auto& genotype) { return count(genotype, network.spec); }, network.architecture);
}

}  // namespace flowdarts
