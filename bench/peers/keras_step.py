#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The speed of dtrain's network in Keras 3 on the CPU, over TensorFlow or JAX: training steps, or forward passes."""

import os

import measure

VARIANTS = ("graph", "xla")
NORMS = ("rows", "channels")


def options_of_call():
    parser = measure.parser(__doc__, VARIANTS, NORMS)
    parser.add_argument("--backend", choices=("tensorflow", "jax"), default="tensorflow")
    options = parser.parse_args()
    if options.backend == "jax":
        options.variant = "xla"
    return options


def network(keras, options):
    """Returns the network as a model; its last layer gives logits."""
    layers = keras.layers
    axis = 1 if options.norm == "rows" else -1
    inputs = keras.Input((measure.EDGE, measure.EDGE, 1))
    x = inputs
    for filters, edge, pooled in measure.CONVOLUTIONS:
        x = layers.Conv2D(filters, edge, padding="same", activation="relu")(x)
        x = layers.AveragePooling2D(2)(x) if pooled else x
        x = layers.BatchNormalization(axis=axis, momentum=measure.MOMENTUM, epsilon=measure.EPSILON)(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(measure.HIDDEN, activation="relu")(x)
        x = layers.Dropout(measure.DROPOUT)(x)
    return keras.Model(inputs, layers.Dense(measure.CLASSES, dtype="float32")(x))


def adam(keras, model):
    optimizer = keras.optimizers.Adam(measure.ADAM["lr"], epsilon=measure.ADAM["eps"])
    optimizer.build(model.trainable_variables)
    return optimizer


def mean_loss(keras, labels, logits):
    losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return keras.ops.mean(losses)


def tensorflow_step(keras, options, model, images, labels):
    """Returns a step as a tf.function, and a function that waits and gives a number."""
    import tensorflow

    images, labels = tensorflow.constant(images), tensorflow.constant(labels)
    compiled = tensorflow.function(jit_compile=options.variant == "xla")
    optimizer = adam(keras, model) if options.mode == "train" else None

    @compiled
    def train():
        with tensorflow.GradientTape() as tape:
            loss = mean_loss(keras, labels, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    @compiled
    def infer():
        return model(images, training=False)

    return kept(train if options.mode == "train" else infer)


def kept(function):
    """Returns function, keeping its last value, and a function that makes a number of that value."""
    last = [None]

    def step():
        last[0] = function()

    return step, lambda: float(last[0].numpy().sum())


def jax_step(keras, options, model, images, labels):
    """Returns a jitted step on donated state, and a function that waits and gives a number."""
    import jax

    images, labels = jax.numpy.asarray(images), jax.numpy.asarray(labels)
    optimizer = adam(keras, model) if options.mode == "train" else None

    def loss_of(trainable, frozen):
        logits, frozen = model.stateless_call(trainable, frozen, images, training=True)
        return mean_loss(keras, labels, logits), frozen

    def train(state):
        trainable, frozen, moments = state
        (loss, frozen), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, frozen)
        trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
        return (trainable, frozen, moments), loss

    def infer(state):
        trainable, frozen, _ = state
        return model.stateless_call(trainable, frozen, images, training=False)[0]

    moments = optimizer.variables if optimizer else []
    state = tuple(
        [v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables, moments)
    )
    if options.mode == "infer":
        return jax_inference(jax.jit(infer), state)
    return jax_training(jax.jit(train, donate_argnums=0), state)


def jax_training(function, state):
    now = [state, None]

    def step():
        now[:] = function(now[0])

    def finish():
        for group in now[0]:
            for array in group:
                array.block_until_ready()
        return float(now[1])

    return step, finish


def jax_inference(function, state):
    last = [None]

    def step():
        # One pass at a time: passes do not depend on one another and would otherwise overlap.
        last[0] = function(state).block_until_ready()

    return step, lambda: float(last[0].sum())


def set_up(options):
    """Imports Keras over the backend that was asked for, on the threads that were asked for."""
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["JAX_PLATFORMS"] = "cpu"
    measure.confine(options.threads)
    if options.backend == "tensorflow":
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(options.threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    keras.utils.set_random_seed(1)
    if options.precision == "bf16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    return keras


def backend_version(options):
    module = __import__(options.backend)
    return f"{options.backend} {module.__version__}"


def main():
    options = options_of_call()
    keras = set_up(options)
    import numpy

    random = numpy.random.default_rng(1)
    images = random.random((options.batch, measure.EDGE, measure.EDGE, 1), dtype=numpy.float32)
    labels = random.integers(measure.CLASSES, size=options.batch)
    model = network(keras, options)
    build = tensorflow_step if options.backend == "tensorflow" else jax_step
    step, finish = build(keras, options, model, images, labels)
    seconds = measure.seconds_a_step(step, finish, options.steps, options.warmup)
    parameters = sum(int(numpy.prod(v.shape)) for v in model.trainable_variables)
    version = f"{keras.__version__}, {backend_version(options)}"
    measure.report(
        options, seconds, framework=f"Keras/{options.backend}", ranks=1, parameters=parameters, version=version
    )


if __name__ == "__main__":
    main()
