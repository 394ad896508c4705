#pragma once
// What a policy or a space provides and needs: two sets of these tags. Method<> matches them (refusals.hpp).
//
//   static constexpr auto provides = capabilities<tags::trainable_alpha, tags::simplex_weights>;
//   static constexpr auto needs = capabilities<tags::alpha_grad>;

#include <boost/hana.hpp>

namespace flowdarts {

namespace tags {

// Of relaxations.
struct trainable_alpha {};         ///< there are architecture parameters that gradients move
struct simplex_weights {};         ///< an edge's weights are positive and sum to 1
struct all_ops_run {};             ///< every candidate op is in every forward pass
struct alpha_grad_is_strength {};  ///< |dL/dalpha| is the operation strength of OStr-DARTS
struct stochastic {};              ///< two forward passes may differ
struct replayable_noise {};        ///< ... but can be made to draw the same noise again

// Of bilevel orders.
struct val_forward {};         ///< V passes through the supernet every epoch
struct alpha_grad {};          ///< the gradient of L_V with respect to alpha is computed every step
struct weights_only {};        ///< no alpha is trained
struct joint_single_level {};  ///< w and alpha are trained from one loss on one set
struct unrolled {};            ///< differentiates through a virtual weight step

// Of data policies.
struct all_data_trains {};  ///< T is all images; there is no V
struct resampled_split {};  ///< T and V are drawn anew every epoch
struct prunes_train {};
struct prunes_val {};
struct fixed_split {};  ///< a sample stays in its set: what windows of per-sample errors need

// Of spaces and selection rules.
struct one_op_per_edge {};      ///< every edge keeps exactly one op
struct two_inputs_per_node {};  ///< every node keeps two incoming ops

}  // namespace tags

/// A set of tags.
template <class... Tags>
inline constexpr auto capabilities = boost::hana::make_set(boost::hana::type_c<Tags>...);

/// Whether T (a policy or a space) provides / needs the tag.
template <class T, class Tag>
inline constexpr bool provides = decltype(boost::hana::contains(T::provides, boost::hana::type_c<Tag>))::value;
template <class T, class Tag>
inline constexpr bool needs = decltype(boost::hana::contains(T::needs, boost::hana::type_c<Tag>))::value;

}  // namespace flowdarts
