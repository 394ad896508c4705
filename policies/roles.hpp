#pragma once
// The roles a search method is made of. A policy declares the one it plays: `using role = roles::DataPruning;`.

#include <boost/hana.hpp>

namespace flowdarts::roles {

/// How alpha becomes the weights of a mixed op.
struct Relaxation {
  static constexpr const char* name = "relaxation";
};
/// How w and alpha alternate.
struct Bilevel {
  static constexpr const char* name = "bilevel";
};
/// An extra loss on alpha.
struct ArchRegularizer {
  static constexpr const char* name = "regularizer";
};
/// Which samples stay.
struct DataPruning {
  static constexpr const char* name = "prune";
};
/// How the supernet narrows.
struct Shrinking {
  static constexpr const char* name = "shrink";
};
/// What the selection ranks.
struct Importance {
  static constexpr const char* name = "importance";
};
/// When the search ends.
struct Stopping {
  static constexpr const char* name = "stop";
};

/// All roles, in the order they are listed, checked and recorded. A role's name is also its section in config.toml and
/// the prefix of its policy's options on the command line.
inline constexpr auto all =
    boost::hana::tuple_t<Relaxation, Bilevel, ArchRegularizer, DataPruning, Shrinking, Importance, Stopping>;

}  // namespace flowdarts::roles
