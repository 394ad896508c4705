#pragma once
// What surrounds an architecture in the network that is trained from it. No LibTorch.

#include <cstdint>
#include <flowdarts/spaces/darts/spec.hpp>
#include <flowdarts/spaces/mobilenet/chain.hpp>
#include <flowdarts/spaces/stand_alone/architecture.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace flowdarts {

/// The shape of a stand-alone network. A space reads what it has a use for.
struct StandAloneSpec {
  int classes = 10;
  int image_size = 32;  // side in pixels
  // The spaces of cells.
  int channels = 16;  // of the first stage or cell
  int cells = 5;      // NAS-Bench-201: in each stage; DARTS: in all
  // DARTS.
  darts::Stem stem = darts::Stem::cifar;
  bool auxiliary = true;        // the auxiliary classifier, which works in training mode alone
  bool auxiliary_norm = false;  // ImageNet: batch norm behind its last convolution
  // MobileNet-like.
  mobilenet::Widths widths;
  int stem_stride = 2;

  bool operator==(const StandAloneSpec&) const = default;
};

/// The network that the space's papers evaluate; of DARTS the one of the stem. Throws InputError for another space.
StandAloneSpec paper_spec(std::string_view space, darts::Stem stem = darts::Stem::cifar);

/// What a DARTS network reads of it.
darts::NetworkSpec darts_spec(const StandAloneSpec& spec);

/// An architecture and what surrounds it: all that a network is built from.
struct StandAlone {
  Architecture architecture;
  StandAloneSpec spec;
};

/// One JSON object: "space", "genotype" and the members of the spec that the space has a use for.
std::string to_json(const StandAlone& network);

/// Reads what to_json() writes; other members are ignored. Throws InputError.
StandAlone stand_alone_from_json(std::string_view text);

/// As count_network() of the space; without the auxiliary classifier, which is counted apart and is 0 where there is
/// none.
struct StandAloneCounts {
  std::int64_t params = 0;
  std::int64_t macs = 0;
  std::int64_t auxiliary_params = 0;
  std::int64_t auxiliary_macs = 0;
};

/// Throws InputError where the spec does not fit.
StandAloneCounts count_network(const StandAlone& network);

}  // namespace flowdarts
