#pragma once
// ImageNet16-120: the images of ImageNet's first 120 classes at 16 x 16 pixels (Chrabaszcz et al., arXiv:1707.08819;
// Dong and Yang, "NAS-Bench-201", ICLR 2020), as published: pickled batch files.

#include <flowdarts/stages/load/dataset.hpp>
#include <memory>

namespace flowdarts {

/// train_data_batch_1 to _10, or val_data, below config.path. Of each file `data` [N, 768], a byte a value, channel by
/// channel, and `labels`, 1 to 1000; images of the labels 1 to 120 stay, as classes 0 to 119, in the order of the
/// files. The numbers of labels are those of the development kit of ILSVRC2012, in which class folders are not sorted.
/// Throws InputError naming the file.
[[nodiscard]] std::shared_ptr<const Dataset> open_imagenet16(const DatasetConfig& config);

}  // namespace flowdarts
