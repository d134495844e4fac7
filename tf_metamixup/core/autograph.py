"""Leaves AutoGraph out: it takes longer to rewrite what a graph is made of than to build the graph.

Nothing in this package says `if` or `for` of a tensor: there are `tf.cond` and `tf.while_loop`.
"""

import functools

import tensorflow as tf

# `tf.function`, the same graph sooner.
function = functools.partial(tf.function, autograph=False)

# Of what builds data sets: their functions are not rewritten either.
unconverted = tf.autograph.experimental.do_not_convert
