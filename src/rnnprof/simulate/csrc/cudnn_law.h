/* The sizes that cuDNN 9 requests for a recurrent layer, as a law with parameters, and its dropout state.
 *
 * u = T*B*H * element size * directions;  w = bytes of all weights, with biases;  s = element size;
 * L = layers;  I = input size.
 *
 *   reserve  = u * (k*L + L-1) + 16                                      (training; else 0)
 *   small-H  : workspace = a*u + y*I*T*B*s + w   + 24*B*H*s + c
 *   standard : workspace = a*u + y*I*T*B*s + 2*w + 88*B*H*s + c
 *
 * Fitted to published peaks: 34 rows of LSTM and GRU on an A100 (L=4, H 96 to 256; rms 0.60 MB, worst
 * 2.1 MB), 18 of RNN, LSTM and GRU on an RTX 4070 (L=1, H 32 and 64), and dumps of the reserve, exact on
 * cuDNN 6 to 8.  The error for a group that is left out of the fit is 1.5 to 7.5%.  No figure covers
 * L=2 and 3 (taken as L=4), LSTM standard at L=1 (taken as GRU's), RNN standard and the reserve of RNN,
 * short T, two directions, 16-bit types, packed sequences, the persistent algorithm (taken as standard).
 * A table from a real GPU can replace this file. */
#ifndef RNNPROF_CUDNN_LAW_H
#define RNNPROF_CUDNN_LAW_H

#include <stddef.h>

enum law_cell { LAW_RNN, LAW_LSTM, LAW_GRU, LAW_CELLS };

struct law {
    double reserve_units;              /* k */
    double small_one, small_more;      /* a of small-H: one layer, several */
    double small_inputs;               /* y of small-H */
    double standard_one, standard_more; /* a of standard */
    double standard_inputs_one;        /* y of standard: one layer; several have none */
    size_t constant_one_bytes;         /* c: one layer; several have none.  Unexplained */
    int small_most_hidden;             /* above it cuDNN has no small-H algorithm */
};

static const struct law laws[LAW_CELLS] = {
    [LAW_RNN] = {1, 14, 15, 1, 4, 3, 1, (size_t)4 << 20, 384},
    [LAW_LSTM] = {5, 21, 21, 1, 4, 3, 1, (size_t)7 << 20, 192},
    [LAW_GRU] = {6, 18, 19, 2, 4, 3, 1, (size_t)7 << 20, 192},
};

static const double SMALL_BATCH_UNITS = 24, STANDARD_BATCH_UNITS = 88; /* times B*H*s */
static const double SMALL_WEIGHTS = 1, STANDARD_WEIGHTS = 2;           /* times w */
static const size_t RESERVE_EXTRA_BYTES = 16;

/* Assumed: the state of a random number generator for each thread that a multiprocessor can hold; about
 * 2 MB on a GPU of 80 multiprocessors, as reported. */
static const size_t DROPOUT_STATE_BYTES_PER_SM = 24576;

/* cuDNN's RNN returns NOT_SUPPORTED above this many time steps (pytorch#133751). */
enum { LAW_MOST_TIME_STEPS = 65535 };

#endif
