// A thread's own memory.

#pragma once

#include <memory>
#include <vector>

#include "call.h"
#include "vectors.h"

namespace {

// A thread's own memory for one job, kept for the next.
class Scratch {
  public:
    static Scratch& fresh() {
        static thread_local Scratch own;
        if (own.blocks_.size() > 1) own.add(own.total_ - LANES), own.blocks_.erase(own.blocks_.begin(), own.blocks_.end() - 1);
        if (!own.blocks_.empty()) own.total_ = own.blocks_[0].size;
        own.used_ = 0;
        return own;
    }
    float* take(Index floats) {  // aligned; may hold anything
        floats = (floats + LANES - 1) / LANES * LANES;
        if (blocks_.empty() || used_ + floats + LANES > blocks_.back().size) add(floats), used_ = 0;
        const uintptr_t start = reinterpret_cast<uintptr_t>(blocks_.back().memory.get()), to = LANES * sizeof(float);
        float* taken = reinterpret_cast<float*>((start + to - 1) / to * to) + used_;
        used_ += floats;
        return taken;
    }

  private:
    struct Block {
        std::unique_ptr<float[]> memory;
        Index size;
    };
    void add(Index floats) {
        blocks_.push_back({std::unique_ptr<float[]>(new float[floats + LANES]), floats + LANES});
        total_ += floats + LANES;
    }
    std::vector<Block> blocks_;  // more than one only while a larger job than ever before is done
    Index used_ = 0, total_ = 0;
};

}  // namespace
