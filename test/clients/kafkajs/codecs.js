// kafkajs ships gzip and nothing else; the other codecs of Kafka are plugged in here.
'use strict'

const { CompressionTypes, CompressionCodecs } = require('kafkajs')
const snappy = require('kafkajs-snappy')
const lz4 = require('lz4js')
const zstd = require('@bokuweb/zstd-wasm')

// lz4js says in its frame header that blocks depend on each other, which Kafka refuses. A batch is one block of up to 4 MB, so that
// saying the opposite is true: flags 0x60 (version 1, independent blocks), block size 4 MB, and the check byte of these two.
const independentBlocks = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73])

function compressLz4(data) {
  const frame = Buffer.from(lz4.compress(data))
  independentBlocks.copy(frame)
  return frame
}

// One initialization for all that wait for it: a second one would take the memory away from under the first.
let zstdReady
const ready = () => (zstdReady ??= zstd.init())

CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => compressLz4(encoder.buffer),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => {
    await ready()
    return Buffer.from(zstd.compress(encoder.buffer))
  },
  decompress: async (buffer) => {
    await ready()
    return Buffer.from(zstd.decompress(buffer))
  },
})

module.exports = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}
