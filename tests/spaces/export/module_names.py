"""The part of torch.nn that gives tensors their names and shapes, for where torch cannot be imported from Python."""


class Parameter:
    def __init__(self, *shape):
        self.shape = shape


class Module:
    def named(self, prefix=""):
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value.shape
            elif isinstance(value, Module):
                yield from value.named(prefix + name + ".")

    def shapes(self):
        return {name: list(shape) for name, shape in self.named()}


class _Without(Module):
    """Of no tensors, whatever its arguments."""

    def __init__(self, *_, **__):
        pass


ReLU = ReLU6 = AvgPool2d = MaxPool2d = AdaptiveAvgPool2d = Identity = _Without


class Conv2d(Module):
    def __init__(self, inputs, outputs, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True):
        kernel = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        self.weight = Parameter(outputs, inputs // groups, *kernel)
        if bias:
            self.bias = Parameter(outputs)


class BatchNorm2d(Module):
    def __init__(self, channels, eps=1e-5, affine=True):
        if affine:
            self.weight = Parameter(channels)
            self.bias = Parameter(channels)
        self.running_mean = Parameter(channels)
        self.running_var = Parameter(channels)
        self.num_batches_tracked = Parameter()


class Linear(Module):
    def __init__(self, inputs, outputs):
        self.weight = Parameter(outputs, inputs)
        self.bias = Parameter(outputs)


class ModuleList(Module):
    def __init__(self, modules=()):
        for module in modules:
            self.append(module)

    def append(self, module):
        setattr(self, str(len(vars(self))), module)


class Sequential(ModuleList):
    def __init__(self, *modules):
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, module in modules[0].items():
                setattr(self, name, module)
        else:
            super().__init__(modules)


class ModuleDict(Module):
    def __init__(self, modules):
        for name, module in modules.items():
            setattr(self, name, module)
