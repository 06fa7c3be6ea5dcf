"""Loss curve of the workshop's run 1.2 in PyTorch: what kiln's curve is held against.

Ten epochs, cross-entropy, SGD with lr 0.001 and momentum 0.9, batch 16, shuffled, PyTorch's
default initialisers. For every seed and epoch: the mean of the batch losses of the epoch, and
loss and accuracy (percent) on the test set after it. The data are tensors in memory.

    bench/peers/peer-python bench/peers/lenet_curve.py --data DIR --out FILE.json
"""

import argparse
import time

import torch
from torch import nn

import peer_common


def evaluate(net, images, labels):
    net.eval()
    with torch.no_grad():
        scores = torch.cat([net(part) for part in images.split(1000)])
        loss = nn.functional.cross_entropy(scores, labels).item()
        accuracy = 100.0 * (scores.argmax(1) == labels).double().mean().item()
    net.train()
    return loss, accuracy


def train_epoch(net, optimizer, images, labels, batch, shuffle):
    """Mean of the batch losses."""
    total, batch_count = 0.0, 0
    for chosen in torch.randperm(len(images), generator=shuffle).split(batch):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        total += loss.item()
        batch_count += 1
    return total / batch_count


def curve_of_seed(seed, data, options):
    train_x, train_y, test_x, test_y = data
    torch.manual_seed(seed)
    net = peer_common.Net()
    shuffle = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=options.lr, momentum=options.momentum)
    epochs = []
    for epoch in range(1, options.epochs + 1):
        start = time.monotonic()
        train_loss = train_epoch(net, optimizer, train_x, train_y, options.batch_size, shuffle)
        seconds = time.monotonic() - start
        test_loss, test_accuracy = evaluate(net, test_x, test_y)
        epochs.append({
            "epoch": epoch,
            "train_loss": train_loss,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "seconds": round(seconds, 2),
        })
        print(f"seed {seed} epoch {epoch:2d}  train loss {train_loss:.4f}  "
              f"test loss {test_loss:.4f}  test accuracy {test_accuracy:.2f} %  "
              f"{seconds:.1f} s", flush=True)
    return epochs


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 binary or image folder, or .tar.xz")
    parser.add_argument("--data-name", default="", help="what the data are, kept in the result")
    parser.add_argument("--cache", default="/tmp/kiln-peers", help="folder for decoded pictures")
    parser.add_argument("--out", required=True, help="JSON file, replaced after every seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main():
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    train_x, train_y, test_x, test_y = peer_common.load_cifar(options.data, options.cache)
    data = (peer_common.normalise(train_x), train_y, peer_common.normalise(test_x), test_y)
    result = peer_common.run_facts() | {
        "what": "LeNet, workshop run 1.2",
        "data": options.data_name or str(options.data),
        "train_images": len(train_x),
        "test_images": len(test_x),
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "lr": options.lr,
        "momentum": options.momentum,
        "runs": [],
    }
    for seed in options.seeds:
        result["runs"].append({"seed": seed, "epochs": curve_of_seed(seed, data, options)})
        peer_common.write_json(options.out, result)


if __name__ == "__main__":
    main()
