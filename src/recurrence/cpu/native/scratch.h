// A thread's own memory.

#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "vectors.h"

namespace {

// Memory of one thread for one job, kept for the next job.
class Scratch {
  public:
    static Scratch& fresh() {
        static thread_local Scratch own;
        own.merge();
        own.used_ = 0;
        return own;
    }

    // Aligned to vectors; it may hold anything.
    float* take(Index floats) {
        floats = padded(floats);
        if (blocks_.empty() || used_ + floats + LANES > blocks_.back().size) {
            add(floats);
            used_ = 0;
        }
        const uintptr_t start = reinterpret_cast<uintptr_t>(blocks_.back().memory.get());
        const uintptr_t to = LANES * sizeof(float);
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

    // One block instead of all those that a job of a new size has taken one after the other.
    void merge() {
        if (blocks_.size() > 1) {
            add(total_ - LANES);
            blocks_.erase(blocks_.begin(), blocks_.end() - 1);
        }
        if (!blocks_.empty()) total_ = blocks_[0].size;
    }

    std::vector<Block> blocks_;  // more than one only while a larger job than ever before is done
    Index used_ = 0;
    Index total_ = 0;
};

// The calling thread's buffer of at least this size. It never shrinks.
inline float* at_least(std::vector<float>& buffer, Index size) {
    buffer.resize(std::max<size_t>(buffer.size(), size));
    return buffer.data();
}

}  // namespace
