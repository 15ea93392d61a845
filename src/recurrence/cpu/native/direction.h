// The simplex direction of an update, from the products that make its gradients.

#pragma once

#include <array>
#include <optional>

#include "readout.h"
#include "simplex.h"

namespace {

// The products of an update; where their factors lie is still to be said.
class Products {
  public:
    explicit Products(const Call& c) : call(*c.simplex) {
        const Sizes z(c);
        W = of_delta(z);
        W.input = VECTORS;
        W.K = z.H;
        W.left_row = z.P;
        W.weight = c.dW;
        W.weight_next = c.dW_next;

        W_in = of_delta(z);
        const Index numbers = c.input == VECTORS ? c.I : 1;  // in a row of inputs
        W_in.input = c.input;
        W_in.K = c.I;
        W_in.left = c.x;
        W_in.left_next = c.T * c.B * numbers;
        W_in.left_step = c.B * numbers;
        W_in.left_row = numbers;
        W_in.weight = c.dW_in;
        W_in.weight_next = c.dW_in_next;
        W_in.bias = c.db;
        W_in.bias_next = c.db_next;

        W_out.input = VECTORS;
        W_out.K = z.H;
        W_out.H = c.O;
        W_out.gates = 1;
        W_out.left_row = z.P;
        W_out.right_row = z.O;
        W_out.at_end = !c.every;
        W_out.ready = 1;
        W_out.weight = c.dW_out;
        W_out.weight_next = c.dW_out_next;
        W_out.bias = c.db_out;
        W_out.bias_next = c.db_out_next;

        call.products = all.size();
        call.product = all.data();
    }
    Products(const Products&) = delete;

    // δ of W and W_in.
    void set_delta(const float* delta, Index next, Index step) {
        for (Product* product : {&W, &W_in}) {
            product->right = delta;
            product->right_next = next;
            product->right_step = step;
        }
    }

    Simplex call;
    std::array<Product, 3> all{};
    Product& W = all[0];
    Product& W_in = all[1];
    Product& W_out = all[2];

  private:
    static Product of_delta(const Sizes& z) {
        Product product{};
        product.H = z.H;
        product.gates = z.gates;
        product.right_row = z.width;
        product.right_gate = z.P;
        product.ready = z.gates == 1;
        return product;
    }
};

// The direction of a tile that is the whole mini-batch, made on its way back, step by step.
class Direction {
  public:
    // delta: of the step at hand.
    Direction(const Tile& tile, const History& past, const float* delta, const Readout& out, Scratch& scratch)
        : r(tile.r), length(tile.length), products(tile.c) {
        const Track& h = past.h;
        products.set_delta(delta, 0, 0);
        products.W.left = h.at(0);
        products.W.left_step = h.next;
        products.W_out.left = h.at(tile.c.every ? 1 : length);
        products.W_out.left_step = h.next;
        products.W_out.right = out.e(0);
        size = size_of(products.call);
        total = scratch.take(4 * size);
        part = total + 2 * size;
        std::memset(total, 0, 2 * size * sizeof(float));
        steps.emplace(products.call, r, part, scratch);
    }

    void add(Index t) {
        steps->add(t);
        if (t % Steps::count(length) == 0) end_part();
    }

    void finish() {
        if (length == 0) {
            steps->add(-1);
            end_part();
        }
        choose(products.call, r, 1, total);
    }

  private:
    void end_part() {
        add_to(total, part, 2 * size);
        steps->clear();
    }

    const Index r, length;
    Products products;
    Index size;
    float *total, *part;
    std::optional<Steps> steps;
};

}  // namespace
