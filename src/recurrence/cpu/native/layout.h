// The table by which Python checks its own structs and codes when it loads the library.

#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

#include "arguments.h"

// A field of a struct; without a name, the struct itself; without a size, a value of an enum.
struct Layout {
    const char* owner;
    const char* name;
    Index offset;   // or the enum's value
    Index size;
    Index pointer;  // whether it is one
};

namespace {

std::vector<Layout> make_layout() {
    std::vector<Layout> table;
#define ENUM(name, type) { const char* const owner = #name;
#define VALUE(name) table.push_back({owner, #name, static_cast<Index>(name), 0, 0});
#define STRUCT(name) { using Struct = name; const char* const owner = #name; table.push_back({owner, "", 0, sizeof(Struct), 0});
#define FIELD(type, name) \
    table.push_back({owner, #name, offsetof(Struct, name), sizeof(Struct::name), std::is_pointer_v<type>});
#define END }
#include "fields.h"
#undef ENUM
#undef VALUE
#undef STRUCT
#undef FIELD
#undef END
    return table;
}

}  // namespace
