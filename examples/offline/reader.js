/* Reads a model.int8 of ltgnn_pyg and makes lists of it, in a browser or in node. The
 * layout of the file is in docs/export.md. All arrays are views: nothing is copied. */

class Int8Model {
  /** @param {ArrayBuffer} buffer The file. */
  constructor(buffer) {
    const head = new DataView(buffer);
    const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 7));
    if (magic !== "LTGNNI8" || head.getUint32(8, true) !== 1) {
      throw new Error("Expected a model.int8 of version 1; export it with to_int8");
    }
    const [flags, numUsers, numItems, dim] = [12, 16, 20, 24].map((at) => head.getUint32(at, true));
    let next = 32; // Where the offset of the next section is.
    const section = (type, length) => {
      const array = new type(buffer, Number(head.getBigUint64(next, true)), length);
      next += 8;
      return array;
    };
    Object.assign(this, { numUsers, numItems, dim });
    this.userScale = section(Float32Array, numUsers);
    this.user = section(Int8Array, numUsers * dim);
    this.itemScale = section(Float32Array, numItems);
    this.item = section(Int8Array, numItems * dim);
    this.itemBias = section(Float32Array, flags & 1 ? numItems : 0);
    const seenPtr = section(Uint32Array, numUsers + 1);
    const seenItem = section(Uint32Array, seenPtr[numUsers]);
    this.seen = (user) => seenItem.subarray(seenPtr[user], seenPtr[user + 1]);
    const ids = (length) => {
      const ptr = section(Uint32Array, length + 1);
      const bytes = section(Uint8Array, ptr[length]);
      return (index) => new TextDecoder().decode(bytes.subarray(ptr[index], ptr[index + 1]));
    };
    this.userId = ids(numUsers);
    this.itemId = ids(numItems);
  }

  /** The vector of a user, or of an item if `of` is "item". */
  vector(index, of = "user") {
    const row = this[of].subarray(index * this.dim, (index + 1) * this.dim);
    return Float32Array.from(row, (q) => q * this[of + "Scale"][index]);
  }

  /** The k items that score highest with a vector, less those excluded: a list of
   *  {item, score}, the best first, shorter than k where no more are left. */
  topK(vector, k, exclude = []) {
    const { dim, item, itemScale, itemBias } = this;
    const skip = new Uint8Array(this.numItems);
    for (const index of exclude) skip[index] = 1;
    const best = [];
    for (let i = 0, at = 0; i < this.numItems; i++, at += dim) {
      if (skip[i]) continue;
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += vector[d] * item[at + d];
      const score = sum * itemScale[i] + (itemBias.length ? itemBias[i] : 0);
      if (best.length === k && !(score > best[k - 1].score)) continue;
      if (best.length === k) best.pop();
      let place = best.length;
      while (place > 0 && best[place - 1].score < score) place--;
      best.splice(place, 0, { item: i, score });
    }
    return best;
  }
}

if (typeof module !== "undefined") module.exports = { Int8Model };
