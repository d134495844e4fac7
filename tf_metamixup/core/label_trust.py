"""Which labels are right: a logistic regression on images whose labels were checked.

An audited image has the label that it was given and the one that a check found, so "is the given
label right?" is a supervised problem with few parameters. What it is answered from are the
network's predictions. NumPy alone; every function is deterministic in its arguments.
"""

import numpy as np

# Keeps logarithms of probabilities finite.
SMALLEST = 1e-4
# How far a class's own prior counts beside what the network says of the image.
CLASS_SCALE = 0.3
# With 2 to 9 steps labels are ordered alike; each reads all predictions once.
EM_STEPS = 3
# Newton's method on a regularized logistic loss converges in fewer.
NEWTON_STEPS = 25


def features(probabilities: np.ndarray, classes: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Computes what the regression sees of each image, float64 [N, 3 + classes].

    The log-odds of the given label, of the image alone and with that label known; a constant; and
    the given class.

    Args:
        probabilities: P(class | image), the network's, [N, classes].
        classes: P(class | image, given label), of `posterior`, [N, classes].
        given: the noisy labels, int [N].

    >>> features(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]]), np.array([0]))[0].tolist()
    [0.0, 0.0, 1.0, 0.3, 0.0]
    """
    chosen = np.eye(probabilities.shape[1])[given]
    own = (np.sum(p * chosen, axis=1) for p in (probabilities, classes))
    odds = [np.log(p + SMALLEST) - np.log(1 - p + SMALLEST) for p in own]
    return np.column_stack([*odds, np.ones(len(given)), CLASS_SCALE * chosen])


def fit(
    inputs: np.ndarray, right: np.ndarray, counts: np.ndarray, penalty: float = 1.0
) -> np.ndarray:
    """Fits a logistic regression by Newton's method, and returns its weights, float64 [D].

    Minimizes the summed logistic loss and penalty / 2 times the squared norm of the weights.

    Args:
        inputs: of `features`, [N, D].
        right: whether each label is right, bool [N].
        counts: the weight of each row in the sum, [N].
        penalty: of the squared weights; above 0, the minimum is finite whatever `right` holds.
    """
    weights = np.zeros(inputs.shape[1])
    for _ in range(NEWTON_STEPS):
        p = sigmoid(inputs @ weights)
        gradient = inputs.T @ (counts * (p - right)) + penalty * weights
        curvature = (inputs.T * (counts * p * (1 - p))) @ inputs + penalty * np.eye(len(weights))
        weights -= np.linalg.solve(curvature, gradient)
    return weights


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Computes 1 / (1 + exp(-values)) without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0])).tolist()
    [0.0, 0.5]
    """
    return np.exp(-np.logaddexp(0.0, -values))


def sharpened(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Computes p^(1/T), normalized, [N, classes] (MixMatch's sharpening).

    >>> sharpened(np.array([[0.8, 0.2]]), 0.5).round(3).tolist()
    [[0.941, 0.059]]
    """
    logits = np.log(np.maximum(probabilities, 1e-12)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def aligned(probabilities: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Computes p times the `ratio` of each class, normalized, [N, classes].

    Distribution alignment (Berthelot et al. 2020): with `shares(given) / shares(predicted)` a class
    that the network has not learned yet is not taken to be absent.

    >>> aligned(np.array([[0.5, 0.5]]), np.array([3.0, 1.0])).tolist()
    [[0.75, 0.25]]
    """
    scaled = probabilities * ratio
    return scaled / scaled.sum(axis=1, keepdims=True)


def posterior(probabilities: np.ndarray, given: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Computes P(class | image, given label), float64 [N, classes], by Bayes' rule.

    How a label goes wrong is taken to depend on the class alone, as GLC takes it.

    Args:
        probabilities: P(class | image), the network's, [N, classes].
        given: the noisy labels, int [N].
        matrix: P(given label | class), [classes, classes].

    >>> posterior(np.array([[0.5, 0.5]]), np.array([1]), np.array([[0.8, 0.2], [0, 1]])).round(3)
    array([[0.167, 0.833]])
    """
    # Not 0 for all classes, whatever the label: the diagonal of `confusion` is above 0.
    joint = (probabilities + SMALLEST) * matrix[:, given].T
    return joint / joint.sum(axis=1, keepdims=True)


def confusion(classes: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Estimates P(given label | class) from noisy labels, float64 [classes, classes].

    Row k counts the given labels of all images, each by its probability of class k, and one right
    label more, which keeps the diagonal above 0. Images that the network cannot tell apart count as
    labelled wrong.

    Args:
        classes: P(class | image), [N, classes].
        given: the noisy labels, int [N].

    >>> confusion(np.eye(2)[[0, 0, 0, 1]], np.array([0, 0, 1, 1])).tolist()
    [[0.75, 0.25], [0.0, 1.0]]
    """
    labels = range(classes.shape[1])
    counts = np.stack([classes[given == label].sum(axis=0) for label in labels], axis=1)
    counts += np.eye(len(labels))
    return counts / counts.sum(axis=1, keepdims=True)


def refined(matrix: np.ndarray, probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Makes the given labels likelier by EM, from an estimate of `confusion`, [classes, classes].

    Each step counts again, by the probabilities that the last estimate gives (Dawid and Skene
    1979).
    """
    for _ in range(EM_STEPS):
        matrix = confusion(posterior(probabilities, given, matrix), given)
    return matrix


def possible(
    matrix: np.ndarray, labels: np.ndarray, given: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists the labels that checked images were given, or may have been given.

    The likelihoods of each image sum to 1. So a fit that weights rows by them sees the expectation
    over labels injected at random, without the variance of a few draws.

    Args:
        matrix: P(given label | class), of `confusion`, [classes, classes].
        labels: checked, int [M].
        given: the noisy labels, int [M]; None where they are not known.

    Returns:
        Which image, which given label, int, and how likely that is, float64, all [N].

    >>> possible(np.array([[0.8, 0.2], [0, 1]]), np.array([0]), given=None)
    (array([0, 0]), array([0, 1]), array([0.8, 0.2]))
    >>> possible(np.array([[0.8, 0.2], [0, 1]]), np.array([0]), given=np.array([1]))
    (array([0]), array([1]), array([1.]))
    """
    chances = matrix[labels] if given is None else np.eye(len(matrix))[given]
    images, labels = np.nonzero(chances)
    return images, labels, chances[images, labels]


def transition(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Estimates P(given label | class), float64 [classes, classes], rows sum to 1.

    GLC's estimate (Hendrycks et al. 2018): row k is the mean prediction on checked images of class
    k, once the network was trained on given labels.

    Args:
        probabilities: the network's on the checked images, [N, classes].
        labels: checked, int [N].
    """
    classes = probabilities.shape[1]
    of_class = np.eye(classes)[labels]
    seen = of_class.sum(axis=0)[:, None]
    # A class without a checked image is taken to be labelled right.
    matrix = np.where(seen > 0, of_class.T @ probabilities / np.maximum(seen, 1), np.eye(classes))
    return matrix / matrix.sum(axis=1, keepdims=True)
