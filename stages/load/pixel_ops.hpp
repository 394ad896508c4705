#pragma once
// Changes of 8-bit RGB images that augmentations are made of, each as Pillow's function of that name does it, so that
// recipes written for it mean the same here.

#include <cstdint>
#include <flowdarts/stages/load/colour_ops.hpp>
#include <span>

namespace flowdarts {

/// width * height pixels of uint8, RGB interleaved, row by row. A view; the functions below write through it.
struct PixelGrid {
  std::span<std::uint8_t> pixels;
  int width = 0, height = 0;
};

// ImageEnhance: the image blended with what it is at factor 0; factor >= 0, and 1 leaves it as it is.
void brightness(PixelGrid image, double factor);  ///< with black
void contrast(PixelGrid image, double factor);    ///< with its mean grey
void saturation(PixelGrid image, double factor);  ///< with its grey values (`Color`)
void sharpness(PixelGrid image, double factor);   ///< with the image smoothed by its 3 x 3 neighbourhood

/// Shifts the hue of every pixel by part of the colour circle, in [-1/2, 1/2] (torchvision's adjust_hue).
void shift_hue(PixelGrid image, double part);

/// One step after the other: the bits of change_colours() of every pixel (colour_ops.hpp).
void change_colours(PixelGrid image, const ColourSteps& colours);

// ImageOps.
void posterize(PixelGrid image, int bits);      ///< keeps the upper bits of every value; 0 to 8
void solarize(PixelGrid image, int threshold);  ///< values from the threshold on become 255 - value; 0 to 256
void autocontrast(PixelGrid image);             ///< each channel's values stretched to 0 .. 255
void equalize(PixelGrid image);                 ///< each channel's histogram made flat

// Nearest-pixel transforms; what comes from outside of the image is black.
void shear_x(PixelGrid image, double slope);  ///< row y takes what lies slope * y to the right
void shear_y(PixelGrid image, double slope);
void translate_x(PixelGrid image, int pixels);  ///< takes what lies so many pixels to the right
void translate_y(PixelGrid image, int pixels);
void rotate(PixelGrid image, double degrees);  ///< about the centre, counter-clockwise

}  // namespace flowdarts
