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
struct softmax_mixing {};          ///< an edge's weights are the softmax of its alphas
struct alpha_grad_is_strength {};  ///< |dL/dalpha| is the operation strength of OStr-DARTS
struct removable_by_zero {};       ///< an alpha of 0 switches its op off
struct maskable {};                ///< ops can be taken out for good, by a mask
struct stochastic {};              ///< two forward passes may differ
struct replayable_noise {};        ///< ... but can be made to draw the same noise again

// Of bilevel orders.
struct val_forward {};         ///< V passes through the supernet every epoch
struct alpha_grad {};          ///< the gradient of L_V with respect to alpha is computed every step
struct held_out_val {};        ///< V takes no part in the training of w
struct weights_only {};        ///< no alpha is trained
struct joint_single_level {};  ///< w and alpha are trained from one loss on one set
struct unrolled {};            ///< differentiates through a virtual weight step

// Of data policies.
struct all_data_trains {};  ///< T is all images; there is no V
struct resampled_split {};  ///< T and V are drawn anew every epoch
struct prunes_train {};
struct prunes_val {};
struct fixed_split {};  ///< a sample stays in its set: what windows of per-sample errors need

// Of shrinking policies.
struct shrinks_on_schedule {};  ///< ends in its architecture only where all epochs run
struct decays_on_schedule {};   ///< prunes ever more weakly towards the last epoch
struct leaves_architecture {};  ///< the ops that it leaves in the end are the architecture's

// Of stopping rules.
struct stops_early {};

// Of spaces and selection rules.
struct one_op_per_edge {};      ///< every edge keeps exactly one op
struct two_inputs_per_node {};  ///< every node keeps two incoming ops, `none` never among them
struct skip_limit {};           ///< a rule that limits the skips of the normal cell
struct partial_channels {};     ///< supernets may send a part of the channels through the ops
struct any_depth {};            ///< supernets may have as many cells as asked for
struct selects_by_group {};     ///< the best ops of a group of edges are kept, also two of one edge
struct scores_are_weights {};   ///< ranks by the weights of ops; with weights of edges, those count, too

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
