// Several updates in one call: gradients, clipping and steps, each replica at its own pace.

#pragma once

#include <cmath>
#include <mutex>
#include <queue>

#include "update.h"

namespace {

constexpr float LIMIT = 1e10f;  // norms above this are as good as infinite (Pcode)

// The first n < LANES numbers, and zeros.
inline Vector load_first(const float* p, Index n) {
    Vector x{};
    std::memcpy(&x, p, n * sizeof(float));
    return x;
}

// The norm of one replica's gradient. Four sums side by side, so that none waits for the one before.
__attribute__((noinline)) float norm_of(const float* g, Index size) {
    Vector sums[4] = {};
    const Index vectors = size / LANES;
    for (Index i = 0; i < vectors; i++) {
        const Vector x = load(g + i * LANES);
        sums[i & 3] += x * x;
    }
    const Vector rest = load_first(g + vectors * LANES, size % LANES);
    sums[3] += rest * rest;
    return std::sqrt(sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
}

// Whether all numbers are finite: 0 times any other is NaN.
bool all_finite(const float* theta, Index size) {
    Vector zero{};
    const Index vectors = size / LANES;
    for (Index i = 0; i < vectors; i++) zero += load(theta + i * LANES) * 0.f;
    zero += load_first(theta + vectors * LANES, size % LANES) * 0.f;
    return sum(zero) == 0;
}

// What comes before is rounded before what comes after: as where each is an operation by itself.
inline void no_fusion() { __asm__ volatile("" ::: "memory"); }

// Updates of all replicas. A replica's next update begins when the one before is done, whatever the others do: so that
// threads need not wait for each other at every update. What is furthest behind goes first.
class Descending {
  public:
    Descending(const Call& call, const Descent& d)
        : d_(d), R_(call.R), calls_(d.updates, call), parts_(call), end_(d.updates) {
        for (Index n = 0; n < d.updates; n++) {
            Call& c = calls_[n];
            c.length = d.length + n * R_;
            c.x = d.x[n];
            c.target = d.target[n];
            c.losses = d.losses + n * R_;
            if (c.alpha) c.omega = d.omega + n * R_;
        }
        for (Index r = 0; r < R_; r++) add(r, 0);
    }

    // Returns how many updates were made: all, or those before the first one that is not as usual, because some
    // gradient is of no use or a replica's parameters are not finite. Some replicas may have gone further then.
    // Returns -1 if some symbol or class is none of those there are.
    Index run(Index threads) {
        auto work = [this](Index) { serve(); };
        Pool::get().run(threads, std::min(threads, R_ * parts_.tiles), work);
        return all_known_ ? end_.load() : -1;
    }

  private:
    static constexpr Index PATIENCE = 10000;  // looks before a thread that waits offers its core to others

    struct Job {
        Index behind, r, update, tile;
        bool operator<(const Job& other) const { return behind < other.behind; }
    };

    // Makes a replica's next update ready to be computed.
    void add(Index r, Index update) {
        parts_.begin(r);
        for (Index tile = 0; tile < parts_.tiles; tile++)
            ready_.push({(d_.updates - update) * calls_[update].length[r], r, update, tile});
    }

    void serve() {
        Job job;
        while (take(job)) finish(job, compute(job));
    }

    // Waits for something to do. Returns whether there is.
    bool take(Job& job) {
        for (;;) {
            const Index seen = changes_.load(std::memory_order_acquire);
            {
                std::lock_guard<std::mutex> lock(mutex_);
                while (!ready_.empty() && ready_.top().update >= end_) ready_.pop();
                if (!ready_.empty()) {
                    job = ready_.top();
                    ready_.pop();
                    running_++;
                    return true;
                }
                if (running_ == 0) return false;
            }
            for (Index i = 0; changes_.load(std::memory_order_acquire) == seen; i++)
                i < PATIENCE ? pause() : std::this_thread::yield();
        }
    }

    // Computes one tile. Returns whether with it the replica's update is done.
    bool compute(const Job& job) {
        const Call& c = calls_[job.update];
        if (!known(tile_of(c, job.r, job.tile, parts_.tiles))) {
            all_known_ = false;
            end_ = 0;
            return false;
        }
        return parts_.make(c, job.r, job.tile) && step(job);
    }

    // Clips a replica's gradient and takes its step. Returns whether it could.
    bool step(const Job& job) {
        float* const g = d_.gradient + job.r * d_.P;
        float* const theta = d_.theta + job.r * d_.P;
        const float most = d_.most[job.r];
        const float rate = d_.rate[job.r];
        const float norm = norm_of(g, d_.P);
        d_.norm[job.update * R_ + job.r] = norm;
        if (!(norm <= LIMIT) || !all_finite(theta, d_.P)) {
            Index end = end_;
            while (job.update < end && !end_.compare_exchange_weak(end, job.update)) continue;
            return false;
        }
        const float scale = norm > most ? most / norm : 1.f;
        for (Index i = 0; i < d_.P; i++) g[i] = g[i] * scale * rate;
        float* v = g;
        if (d_.velocity) {
            v = d_.velocity + job.r * d_.P;
            for (Index i = 0; i < d_.P; i++) v[i] *= *d_.momentum;
            no_fusion();
            for (Index i = 0; i < d_.P; i++) v[i] += g[i];
        }
        no_fusion();
        for (Index i = 0; i < d_.P; i++) theta[i] -= v[i];
        return true;
    }

    void finish(const Job& job, bool whole) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            running_--;
            if (whole && job.update + 1 < d_.updates) add(job.r, job.update + 1);
        }
        changes_.fetch_add(1, std::memory_order_acq_rel);
    }

    const Descent& d_;
    const Index R_;
    std::vector<Call> calls_;        // of each update
    Parts parts_;
    std::priority_queue<Job> ready_;
    Index running_ = 0;              // tiles that are being computed
    std::mutex mutex_;
    std::atomic<Index> changes_{0};  // of what is ready or running
    std::atomic<Index> end_;         // no update is begun from here on
    std::atomic<bool> all_known_{true};
};

}  // namespace
