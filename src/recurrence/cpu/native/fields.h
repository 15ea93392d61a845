// Every number code and every struct that Python and C++ share, field by field.
//
// This file has no include guard. arguments.h includes it to make the enums and structs, and layout.h to make the table
// with which Python checks its own. So no field can be left out of the table.
//
// R replicas, T steps, B sequences, H units, G = gates * H columns of W, I inputs, O outputs. An array of rows is
// [R][T][B][width]; its rows are padded to whole vectors, gate by gate: H to P, G to gates * P.
// `name_next` is the distance from one replica to the next in `name`. A null pointer means: not there, not wanted, or zero.

ENUM(Input, Index)
VALUE(DENSE)
VALUE(SYMBOLS_8)
VALUE(SYMBOLS_64)
VALUE(VECTORS)
END

ENUM(Form, Index)  // of Ω
VALUE(SQUARED)
VALUE(PLAIN)
END

ENUM(Loss, Index)  // of the readout: the mean over sequences and steps
VALUE(NONE)
VALUE(CROSS_ENTROPY)
VALUE(SQUARED_ERROR)
END

ENUM(Activation, int32_t)
VALUE(TANH)
VALUE(SIGMOID)
VALUE(RELU)
VALUE(ELU)
VALUE(IDENTITY)
END

// One product that makes a gradient: of a weight, the sum over steps of leftᵀ right, and of a bias, the sum of right.
STRUCT(Product)
FIELD(Index, input)  // of left: symbols or vectors
FIELD(Index, K)      // columns of left
FIELD(Index, H)      // right has gates * H columns
FIELD(Index, gates)
FIELD(Index, left_next)
FIELD(Index, left_step)
FIELD(Index, left_row)
FIELD(Index, right_next)
FIELD(Index, right_step)
FIELD(Index, right_row)
FIELD(Index, right_gate)
FIELD(Index, at_end)  // there is one step: each replica's last
FIELD(Index, ready)   // right's rows are padded with zeros
FIELD(Index, weight_next)
FIELD(Index, bias_next)
FIELD(const void*, left)
FIELD(const float*, right)
FIELD(float*, weight)  // its gradient, each replica's contiguous
FIELD(float*, bias)    // likewise; null: there is no bias
END

// The simplex direction, from all the products that make the gradients of a network.
STRUCT(Simplex)
FIELD(Index, R)
FIELD(Index, T)
FIELD(Index, B)
FIELD(Index, threads)
FIELD(Index, products)
FIELD(Index, descent)         // whether the gradient is taken where the direction does not descend
FIELD(const Index*, length)   // R
FIELD(const Product*, product)
FIELD(const float*, beta)     // RT
FIELD(const float*, psi)      // R
FIELD(const float*, tiny)     // R
END

// The recurrence: forward, backward, or a whole update.
STRUCT(Call)
FIELD(Index, R)
FIELD(Index, T)
FIELD(Index, B)
FIELD(Index, H)
FIELD(Index, I)
FIELD(Index, O)
FIELD(Index, lstm)
FIELD(Index, threads)
FIELD(Index, input)
FIELD(Index, loss)
FIELD(Index, every)                // whether there is a target, and a loss, at every step, not only at the last one
FIELD(Index, pad)                  // rows beyond a replica's length are handed out and shall be zero
FIELD(const Index*, length)        // R: steps of each replica, 0 to T
FIELD(const int32_t*, activation)  // R; simple cells only
FIELD(const void*, x)              // dense drive RTBG, symbols RTB, or vectors RTBI; contiguous
FIELD(const void*, target)         // RB, or RTB if `every`: classes (int64) or numbers (float)
FIELD(const float*, W)             // RHG; of this and the others each replica's are contiguous
FIELD(const float*, W_in)          // RIG
FIELD(const float*, b)             // RG
FIELD(const float*, W_out)         // RHO
FIELD(const float*, b_out)         // RO
FIELD(float*, dW)                  // without it there are no other gradients: δ and e are what is wanted
FIELD(float*, dW_in)
FIELD(float*, db)
FIELD(float*, dW_out)
FIELD(float*, db_out)
FIELD(Index, W_next)
FIELD(Index, W_in_next)
FIELD(Index, b_next)
FIELD(Index, W_out_next)
FIELD(Index, b_out_next)
FIELD(Index, dW_next)
FIELD(Index, dW_in_next)
FIELD(Index, db_next)
FIELD(Index, dW_out_next)
FIELD(Index, db_out_next)
FIELD(const float*, h0)         // RBH contiguous: the state before the first step
FIELD(const float*, c0)
FIELD(float*, h)                // rows of P, T + 1 steps, the first one the state before
FIELD(float*, c)                // likewise; LSTM only
FIELD(float*, gates)            // rows of 4 P; LSTM only
FIELD(float*, h_last)           // RBH contiguous
FIELD(float*, c_last)
FIELD(const float*, dh)         // RTBH contiguous: direct parts of dL/dh
FIELD(const float*, dh_last)    // RBH contiguous
FIELD(const float*, dc_last)
FIELD(float*, dh0)              // RBH contiguous
FIELD(float*, dc0)
FIELD(float*, delta)            // rows of gates * P, to be handed out
FIELD(float*, d)                // rows of P, likewise
FIELD(float*, v)                // rows of P, likewise
FIELD(float*, e)                // dL/d(output), rows of O, padded, of one step or, if `every`, of T; likewise
FIELD(float*, d2)               // RTB, likewise
FIELD(float*, v2)               // RTB, likewise
FIELD(float*, dz)               // RTBG contiguous: δ where the drive itself was the input
FIELD(float*, losses)           // R
FIELD(const float*, alpha)      // R: weight of Ω; 0: none
FIELD(const Index*, form)       // R: of Ω
FIELD(float*, omega)            // R: Ω; NaN where alpha is 0
FIELD(const Simplex*, simplex)  // its β and ψ; if given, the gradients are that direction
END

// Several updates of R networks: of each a mini-batch, gradients, clipping and a step of gradient descent.
STRUCT(Descent)
FIELD(Index, updates)
FIELD(Index, P)                  // parameters of a network
FIELD(const Index*, length)      // of each update R: steps of each replica, of the T of the call
FIELD(const void* const*, x)     // of each update, as in Call
FIELD(const void* const*, target)
FIELD(float*, theta)             // RP contiguous: where the weights of the call lie
FIELD(float*, gradient)          // RP contiguous: where its gradients lie
FIELD(float*, velocity)          // RP contiguous; null: no momentum
FIELD(const float*, momentum)    // one number
FIELD(const float*, rate)        // R: learning rates
FIELD(const float*, most)        // R: a gradient's norm after clipping; infinity: no clipping
FIELD(float*, losses)            // of each update R; and the following
FIELD(float*, omega)             // null: no Ω
FIELD(float*, norm)              // of the gradients, before clipping
END

// y = x W + b of R networks, or its tanh: N rows of K numbers become rows of M.
STRUCT(Linear)
FIELD(Index, R)
FIELD(Index, N)
FIELD(Index, K)
FIELD(Index, M)
FIELD(Index, threads)
FIELD(Index, tanh)
FIELD(Index, x_next)
FIELD(Index, x_row)       // from one row of x to the next
FIELD(Index, W_next)
FIELD(Index, b_next)
FIELD(const float*, x)    // columns side by side, as in W and b
FIELD(const float*, W)
FIELD(const float*, b)
FIELD(float*, y)          // RNM contiguous
FIELD(const float*, dy)   // RNM contiguous
FIELD(float*, dx)         // RNK contiguous, or null
FIELD(float*, dW)         // RKM contiguous
FIELD(float*, db)         // RM contiguous
END

// y = x + noise: N rows of K numbers of each replica.
STRUCT(Noise)
FIELD(Index, R)
FIELD(Index, N)
FIELD(Index, K)
FIELD(Index, threads)
FIELD(Index, x_next)
FIELD(Index, x_row)
FIELD(const uint64_t*, stream)   // R times the key and the upper half of the counter: see draws.py
FIELD(const float*, quantiles)   // 2**16
FIELD(const float*, x)
FIELD(float*, y)                 // RNK contiguous
END
