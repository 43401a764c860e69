// Registers an operator with LiteRT without its sources: give the resolver that your function got, a name and a kernel.
//
// LiteRT's Python wheel exports no function that adds an operator, so a library brings its own, as one built from
// LiteRT's sources does: this fills tflite::MutableOpResolver's map by its layout (tflite/mutable_op_resolver.h of
// LiteRT 2.x, libstdc++ as in the wheels for Linux). It refuses where that layout is another.
#ifndef PIACCEL_CUSTOM_OP_H_
#define PIACCEL_CUSTOM_OP_H_

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tflite_abi.h"

namespace piaccel {

struct KeyHash {
  template <typename Name>
  size_t operator()(const std::pair<Name, int>& key) const {
    size_t result = 0;
    for (size_t hash : {std::hash<Name>()(key.first), std::hash<int>()(key.second)})
      result ^= hash + 0x9e3779b97f4a7800ULL + (result << 10) + (result >> 4);
    return result;
  }
};

struct ResolverLayout {
  void* virtual_table;
  std::shared_ptr<void> operators_cache;  // of the base class, tflite/core/api/op_resolver.h
  bool has_user_operators;
  std::vector<void*> delegate_creators;
  std::vector<void*> opaque_delegate_creators;
  std::unordered_map<std::pair<int, int>, TfLiteRegistration, KeyHash> builtins;
  std::unordered_map<std::pair<std::string, int>, TfLiteRegistration, KeyHash> customs;
};

// Adds `kernel` as the custom operator `name`, which must live as long as the library. Returns whether it did.
inline bool add_custom(void* resolver, const char* name, TfLiteRegistration kernel, int version = 1) {
  constexpr int kConv2d = 3, kCustom = 32;  // of the enum BuiltinOperator, which never changes
  auto* layout = static_cast<ResolverLayout*>(resolver);
  const size_t count = layout->builtins.size(), buckets = layout->builtins.bucket_count();
  if (count < 50 || buckets < count || buckets > 5000 || !layout->builtins.count({kConv2d, 1})) {
    std::fprintf(stderr, "%s is not registered: this LiteRT's op resolver has another layout\n", name);
    return false;
  }
  kernel.builtin_code = kCustom;
  kernel.custom_name = name;
  kernel.version = version;
  layout->customs[{name, version}] = kernel;
  layout->has_user_operators = true;
  return true;
}

}  // namespace piaccel
#endif  // PIACCEL_CUSTOM_OP_H_
