// The enums and structs of fields.h.

#pragma once

#include <cstdint>

typedef int64_t Index;

#define ENUM(name, type) enum name : type {
#define VALUE(name) name,
#define STRUCT(name) struct name {
#define FIELD(type, name) type name;
#define END };
#include "fields.h"
#undef ENUM
#undef VALUE
#undef STRUCT
#undef FIELD
#undef END
