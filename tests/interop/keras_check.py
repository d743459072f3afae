# SPDX-License-Identifier: BSD-3-Clause
"""keras_check.py DTRAIN CASE FOLDER: what CASE (interop_case) leaves in FOLDER, read by Keras 3, and the way back.

Predictions may differ by 1e-5 and the losses of further training by 1e-4 (relative), as two float32 implementations do.
"""

import json
import subprocess
import sys

import h5py
import keras
import numpy as np
from keras import layers

DTRAIN, CASE, FOLDER = sys.argv[1:]
WIDTH = 0.05
PREDICTION_TOLERANCE = 1e-5
LOSS_TOLERANCE = 1e-4
failures = 0


def check(what, difference, allowed):
    global failures
    verdict = "ok" if difference <= allowed else "FAILED"
    failures += difference > allowed
    print(f"{verdict}: {what}: off by {difference:.2e}, allowed {allowed:.0e}", flush=True)


def build():
    """The network as a user of Keras would write it, layers without names."""
    def scaled(units):
        return max(1, int(units * WIDTH))

    keras.backend.clear_session()
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters, size, pool in ((64, 11, True), (192, 5, True), (384, 3, False), (384, 3, False), (256, 3, True)):
        model.add(layers.Conv2D(scaled(filters), size, padding="same", activation="relu"))
        if pool:
            model.add(layers.AveragePooling2D(2))
        model.add(layers.BatchNormalization(axis=1))
    model.add(layers.Flatten())
    for _ in range(2):
        model.add(layers.Dense(scaled(4096), activation="relu"))
        model.add(layers.Dropout(0.0))
    model.add(layers.Dense(10, activation="softmax"))
    return model


def compile_model(model):
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8), loss="categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)


def functional(model):
    """The same layers as a functional model."""
    return keras.Model(model.inputs, model.outputs)


def left(name, dtype, *shape):
    return np.fromfile(f"{FOLDER}/{name}", dtype).reshape(shape)


images = left("images.f32", np.float32, -1, 28, 28, 1)
predictions = left("predictions.f32", np.float32, -1, 10)
losses = left("losses.f64", np.float64, -1)
batches = left("batches.f32", np.float32, len(losses), 64, 28, 28, 1)
labels = np.eye(10, dtype=np.float32)[left("labels.u8", np.uint8, len(losses), 64)]


def check_predictions(what, model):
    got = model.predict(images, batch_size=len(images), verbose=0)
    check(f"{what}: predictions of {len(images)} images", np.abs(got - predictions).max(), PREDICTION_TOLERANCE)


def check_training(what, model, first_step):
    for i, expected in enumerate(losses):
        got = float(np.ravel(model.train_on_batch(batches[i], labels[i]))[0])
        check(f"{what}: loss of further step {i + 1}", abs(got - expected) / expected, LOSS_TOLERANCE)
    steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
    check(f"{what}: the optimizer's step", abs(steps - first_step - len(losses)), 0)


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


# 1. Weights alone, into a model that was not compiled; a functional one has the same layers.
model = build()
model.load_weights(f"{FOLDER}/weights.weights.h5")
check_predictions("weights", model)
model = functional(build())
model.load_weights(f"{FOLDER}/checkpoint.weights.h5")
check_predictions("checkpoint in a functional model", model)

# 2. A checkpoint with Adam's state: training goes on.
model = build()
compile_model(model)
model.load_weights(f"{FOLDER}/checkpoint.weights.h5")
check("checkpoint: Adam's learning rate", abs(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) - 5e-4), 1e-9)
check_predictions("checkpoint", model)
check_training("checkpoint", model, 5)

# 3. The exported whole model, without any code of ours.
run(DTRAIN, "export", f"{FOLDER}/checkpoint.weights.h5", f"{FOLDER}/model.h5")
keras.backend.clear_session()
exported = keras.models.load_model(f"{FOLDER}/model.h5")
check_predictions("exported model", exported)
check("exported model: Adam's epsilon", abs(exported.optimizer.epsilon - 1e-8), 1e-20)
exported.optimizer.build(exported.trainable_variables)
exported.load_weights(f"{FOLDER}/checkpoint.weights.h5")
check_training("exported model with Adam's state", exported, 5)
run(DTRAIN, "export", f"{FOLDER}/weights.weights.h5", f"{FOLDER}/plain.h5")
check_predictions("model exported from weights", keras.models.load_model(f"{FOLDER}/plain.h5"))

# 4. What Keras saves loads here: with the optimizer inside, and from a functional model.
model = build()
compile_model(model)
model.load_weights(f"{FOLDER}/checkpoint.weights.h5")
for name, saved in (("sequential", model), ("functional", functional(model))):
    path = f"{FOLDER}/{name}.weights.h5"
    saved.save_weights(path)
    run(CASE, "load", path, FOLDER)
    got = left("keras_predictions.f32", np.float32, -1, 10)
    check(f"weights that Keras saved ({name}): predictions", np.abs(got - predictions).max(), PREDICTION_TOLERANCE)
    told = json.loads(run(DTRAIN, "inspect", path, "--json"))
    check(f"inspect of it ({name}): kind", told["kind"] != "Keras weights", 0)
    kernel = {tensor["place"]: tensor for tensor in told["tensors"]}["layers/dense/vars/0"]
    values = keras.ops.convert_to_numpy(saved.get_layer("dense").kernel)
    check(f"inspect of it ({name}): mean", abs(kernel["mean"] - values.astype(np.float64).mean()), 1e-12)
    check(f"inspect of it ({name}): sd", abs(kernel["sd"] - values.astype(np.float64).std()), 1e-12)

# 5. A checkpoint that h5py has opened for appending is still one; the values are checked as before.
with h5py.File(f"{FOLDER}/checkpoint.weights.h5", "a") as file:
    file.attrs["note"] = "appended"
    options = json.loads(file["dtrain/options"][()])
    check("options as h5py reads them", abs(options["lr"] - 5e-4), 0)
told = json.loads(run(DTRAIN, "inspect", f"{FOLDER}/checkpoint.weights.h5", "--json"))
check("checkpoint after h5py: kind", told["kind"] != "checkpoint", 0)
check("checkpoint after h5py: failed checksums", told["failed_checksums"], 0)
check("checkpoint after h5py: without a checksum", sum(t["checksum"] != "holds" for t in told["tensors"]), 0)
model = build()
model.load_weights(f"{FOLDER}/checkpoint.weights.h5")
check_predictions("checkpoint after h5py", model)

print(f"Keras {keras.__version__} on {keras.backend.backend()}: {failures} failures")
sys.exit(1 if failures else 0)
