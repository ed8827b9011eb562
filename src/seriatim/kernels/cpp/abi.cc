// Which version of XLA's interface these kernels were built for: asked before anything is registered.
#include "xla/ffi/api/c_api.h"

extern "C" __attribute__((visibility("default"))) int seriatim_api_major() { return XLA_FFI_API_MAJOR; }
extern "C" __attribute__((visibility("default"))) int seriatim_api_minor() { return XLA_FFI_API_MINOR; }
